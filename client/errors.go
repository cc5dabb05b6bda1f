package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
)

// complete completes an error that leaves the client: whose call it is about, and when
// that was made, if it was.
func complete(req *warren.Request, e *warren.Error) *warren.Error {
	e.Method, e.CallID = req.Method, req.CallID
	if !req.Issued.IsZero() {
		e.Issued = req.Issued
		if e.Outcome != warren.NotExecuted {
			e.Proof = warren.ProofOf(req.ContentType, req.ContentEncoding, req.Body)
		}
	}
	return e
}

// trim returns err's text without the prefix that an Error does not need.
func trim(err error) string { return strings.TrimPrefix(err.Error(), "warren: ") }

func errNoRoute() *warren.Error {
	return &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute, Outcome: warren.NotExecuted,
		Message: "no queue has the method's name: no server has ever run, or the queue has expired",
	}
}

func errNoServer() *warren.Error {
	return &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonNoServer, Outcome: warren.NotExecuted,
		Message: "the method's queue has no consumer: no server is running",
	}
}

func errBlocked(reason string) *warren.Error {
	if reason != "" {
		reason = ": " + reason
	}
	return &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonBlocked, Outcome: warren.NotExecuted,
		Message: "the broker blocks publishers" + reason,
	}
}

// errRefused ends a call whose publish the broker does not take, and will not.
func errRefused(err error) *warren.Error {
	e := &warren.Error{
		Code: warren.CodePermissionDenied, Reason: warren.ReasonNotPermitted, Outcome: warren.NotExecuted,
		Message: trim(err), Cause: err,
	}
	if r, ok := errors.AsType[*broker.RefusalError](err); ok {
		switch r.Kind {
		case broker.BodyTooLarge:
			e.Code, e.Reason = warren.CodeResourceExhausted, warren.ReasonRequestTooLarge
		case broker.HeadersTooLarge:
			e.Code, e.Reason = warren.CodeInvalidArgument, warren.ReasonBadRequest
		case broker.NotPermitted, broker.EndsConnection:
		}
	}
	return e
}

// errNotPermitted ends a call that was lost with others since the user may not
// publish. Whether the broker had taken this one before is not told.
func errNotPermitted(err error) *warren.Error {
	return &warren.Error{
		Code: warren.CodePermissionDenied, Reason: warren.ReasonNotPermitted, Outcome: warren.Unknown,
		Message: trim(err), Cause: err,
	}
}

// ended returns the error of a caller whose context has ended. To give up executes
// nothing: what attempts have done is joined to it.
func ended(ctx context.Context) *warren.Error {
	if ctx.Err() == context.Canceled {
		return &warren.Error{
			Code: warren.CodeCanceled, Outcome: warren.NotExecuted, Message: "the caller has given up",
			Cause: context.Cause(ctx),
		}
	}
	return errDeadline()
}

func errDeadline() *warren.Error {
	return &warren.Error{
		Code: warren.CodeDeadlineExceeded, Outcome: warren.NotExecuted,
		Message: "no reply came before the deadline", Cause: context.DeadlineExceeded,
	}
}

// foreign returns the error that an interceptor made, or wrapped, as an Error.
func foreign(err error) *warren.Error {
	e := &warren.Error{}
	if inner, ok := warren.AsError(err); ok {
		*e = *inner
	}
	e.Code, e.Message, e.Cause = warren.CodeOf(err), trim(err), err
	return e
}

// explain tells a call whose deadline passed before anything of it was written
// why that was, if the client is not connected.
func (c *Client) explain(err *warren.Error) {
	if err.Code != warren.CodeDeadlineExceeded {
		return
	}
	published, _, _ := c.publisher.Up().Get()
	consumed, _, _ := c.replies.consumer.Up().Get()
	if published && consumed {
		return
	}
	why := c.notConnected()
	err.Reason, err.Message = warren.ReasonNotConnected, trim(why)
	err.Cause = fmt.Errorf("%w: %w", err.Cause, why)
}
