package client

import (
	"context"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// ResolutionState is what has become of a call.
type ResolutionState string

// The states of a call that was resolved.
const (
	// Completed: it ended with a reply.
	Completed ResolutionState = wire.StateCompleted
	// Failed: it ended with an error that will not change.
	Failed ResolutionState = wire.StateFailed
	// InProgress: it runs, and may yet end in any way. Ask again later.
	InProgress ResolutionState = wire.StateInProgress
	// Canceled: it will never run from here on.
	Canceled ResolutionState = wire.StateCanceled
)

// Resolution is what has become of a call.
type Resolution struct {
	State ResolutionState
	// Outcome says whether the handler ran: Executed if Completed, Unknown if
	// InProgress. Of a Canceled call NotExecuted is proof that it never ran and
	// never will; Unknown says only that it will not from here on. Of a Failed one
	// it is the error's.
	Outcome warren.Outcome
	// Reply is what a Completed call was answered, and Err what a Failed one was;
	// nil if it was not retained.
	Reply *warren.Reply
	Err   *warren.Error
	// Retained says that Reply or Err is there. It is false for a call that ended
	// with more than its servers keep, and for one that has not ended.
	Retained bool
}

// ResolveOption changes one [Client.Resolve].
type ResolveOption func(*resolveSettings)

type resolveSettings struct {
	issued  time.Time
	proof   warren.Proof
	timeout time.Duration
	header  warren.Header
}

// About asks about the call that ended with err, if an [*warren.Error] of a client is
// in its chain: it is [IssuedAt] and [Proven] with what that says.
func About(err error) ResolveOption {
	return func(s *resolveSettings) {
		if e, ok := warren.AsError(err); ok {
			s.issued, s.proof = e.Issued, e.Proof
		}
	}
}

// Proven shows that who asks knows the call: by the Proof of the [*warren.Error] with
// which it ended or, where that is lost, by [warren.ProofOf] of what was sent. Without
// a proof nothing is told of a call. Default, and for the zero proof: none.
func Proven(p warren.Proof) ResolveOption { return func(s *resolveSettings) { s.proof = p } }

// IssuedAt says when the call was made, by the clock of the client that made it:
// the Issued of the [*warren.Error] with which it ended. Without it a server cannot
// prove that a call of which it knows nothing never ran: the Outcome of what is
// Canceled is then Unknown. Default, and for the zero time: not known.
func IssuedAt(t time.Time) ResolveOption { return func(s *resolveSettings) { s.issued = t } }

// ResolveTimeout bounds the wait for the answer, together with the context's
// deadline: the earlier counts. Default, and for a value of 0 or less: the context's
// deadline alone, or the timeout of the method's policy (10 s unless it says
// otherwise) if it has none.
func ResolveTimeout(d time.Duration) ResolveOption {
	return func(s *resolveSettings) { s.timeout = d }
}

// ResolveHeader sends a header with the question, of a method whose servers keep
// tenants apart by it: then it must say the tenant of the call. Its bounds are those of
// [WithHeader]. Default: none.
func ResolveHeader(key, value string) ResolveOption {
	return func(s *resolveSettings) {
		if s.header == nil {
			s.header = warren.Header{}
		}
		s.header[key] = value
	}
}

// Resolve makes an unknown outcome certain, as by
//
//	c.Resolve(ctx, e.Method, e.CallID, client.About(e))
//
// after a call that ended with the [*warren.Error] e: it asks the method's servers what became
// of the call with that ID, and if it is not running and has not ended, keeps it from
// ever running. The method's servers must have an idempotency store. They tell nothing,
// and forbid nothing, to who does not prove the call: see [Proven]. Requests with the
// same ID and another content are other calls, which are not forbidden with it.
//
// It may be asked for a call of any client, as long as servers keep the record of
// it. It changes nothing about one that runs or has ended, and asking several times
// at most cancels once; so a question that is not answered is asked again, as often
// as the method's policy repeats idempotent calls. A call that is still in flight in
// this client goes on by itself: canceled, it ends with the error that says so.
//
// The question goes to the queue warren.control.METHOD. Timeout and attempts are
// those of the method's policy. Breaker, budget and bulkhead are not: they are of
// the control queue, by the policy of that name, so that an open breaker does not
// keep the method's callers from learning what became of their calls. Interceptors
// see calls only, hence nothing of it.
//
// The error is always an [*warren.Error] with CallID and Issued of the call that was
// asked about, and says that nothing was learned of it: its Outcome is Unknown. It is
// unavailable/no_route if there is no control queue, because no server of the method
// has a store, or none has ever run, or all are plain ones; permission_denied/not_proven
// without a proof, or with that of another call; resource_exhausted/store_full if the
// servers note no more calls that never came; internal/bad_reply if the
// answer cannot be understood; and otherwise as for calls. The call may have been
// canceled all the same: ask again.
func (c *Client) Resolve(ctx context.Context, method, callID string, opts ...ResolveOption) (*Resolution, error) {
	var s resolveSettings
	for _, opt := range opts {
		opt(&s)
	}
	cl := c.newCall(method, nil, nil)
	cl.req.Header = s.header
	cl.asks = &wire.Resolve{CallID: callID, Issued: s.issued, Proof: s.proof}
	cl.settings.timeout, cl.settings.idempotent = s.timeout, true
	reply, err := cl.roundTrip(ctx)
	if err != nil {
		e, _ := warren.AsError(err) // it always is one
		return nil, cl.unresolved(e)
	}
	r, err := wire.DecodeResolution(reply.Body)
	if err != nil || reply.Plain {
		e := &warren.Error{
			Code: warren.CodeInternal, Reason: warren.ReasonBadReply, Attempts: reply.Attempts,
			Message: "the answer comes from a server that does not speak Warren's metadata",
		}
		if err != nil {
			e.Message, e.Cause = trim(err), err
		}
		return nil, cl.unresolved(e)
	}
	if r.Reply != nil {
		r.Reply.CallID = callID
	}
	if r.Err != nil {
		r.Err = cl.about(r.Err)
	}
	return &Resolution{
		State: ResolutionState(r.State), Outcome: r.Outcome, Reply: r.Reply, Err: r.Err, Retained: r.Retained,
	}, nil
}

// unresolved returns the error of a control request as one of the call that it asked
// about, of which it says nothing.
func (cl *call) unresolved(e *warren.Error) *warren.Error {
	e.Outcome = warren.Unknown
	if !e.Remote {
		switch e.Reason {
		case warren.ReasonNoRoute:
			e.Message = "the method has no control queue: none of its servers has a store"
		case warren.ReasonNoServer:
			e.Message = "the method's control queue has no consumer: no server with a store is running"
		}
	}
	return cl.about(e)
}

// about makes e an error of the call that a control request asks about.
func (cl *call) about(e *warren.Error) *warren.Error {
	e.Method, e.CallID, e.Issued, e.Proof = cl.req.Method, cl.asks.CallID, cl.asks.Issued, cl.asks.Proof
	return e
}
