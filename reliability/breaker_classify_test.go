package reliability_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
)

var everyReason = []string{
	"", "of_a_handler",
	warren.ReasonNoRoute, warren.ReasonNoServer, warren.ReasonNotConnected, warren.ReasonBlocked, warren.ReasonNacked,
	warren.ReasonConnectionLost, warren.ReasonReplyQueueLost, warren.ReasonClientClosed, warren.ReasonQueueFull,
	warren.ReasonRequestTooLarge, warren.ReasonReplyTooLarge, warren.ReasonBadRequest, warren.ReasonBadReply,
	warren.ReasonMalformedBody, warren.ReasonUnsupportedMedia, warren.ReasonInvalid, warren.ReasonMissingIdentifier,
	warren.ReasonKeyReused, warren.ReasonExpired, warren.ReasonPanic, warren.ReasonBreakerOpen,
	warren.ReasonBudgetExhausted, warren.ReasonPoisoned, warren.ReasonInterrupted, warren.ReasonReplyNotRetained,
	warren.ReasonNotPermitted,
}

func TestClassifyOfEveryCodeAndReason(t *testing.T) {
	t.Parallel()
	const anyReason = "*"
	type key struct {
		code   warren.Code
		reason string
	}
	// What is not named is Ignored.
	local := map[key]reliability.Result{
		{warren.CodeUnavailable, warren.ReasonNoRoute}:             reliability.Failure,
		{warren.CodeUnavailable, warren.ReasonNoServer}:            reliability.Failure,
		{warren.CodeUnavailable, warren.ReasonNacked}:              reliability.Failure,
		{warren.CodeDeadlineExceeded, anyReason}:                   reliability.Failure,
		{warren.CodeDeadlineExceeded, warren.ReasonConnectionLost}: reliability.Ignored,
		{warren.CodeDeadlineExceeded, warren.ReasonNotConnected}:   reliability.Ignored,
		{warren.CodeDeadlineExceeded, warren.ReasonBlocked}:        reliability.Ignored,
		{warren.CodeDeadlineExceeded, warren.ReasonReplyQueueLost}: reliability.Ignored,
	}
	remote := map[key]reliability.Result{
		{warren.CodeDeadlineExceeded, anyReason}: reliability.Failure,
	}
	for c := warren.CodeCanceled; c <= warren.CodeUnauthenticated; c++ {
		switch c {
		case warren.CodeCanceled, warren.CodeDeadlineExceeded, warren.CodeUnavailable, warren.CodeResourceExhausted:
		default:
			remote[key{c, anyReason}] = reliability.Answered
		}
	}
	want := func(e *warren.Error) reliability.Result {
		table := local
		if e.Remote {
			table = remote
		}
		for _, k := range []key{{e.Code, e.Reason}, {e.Code, anyReason}} {
			if r, ok := table[k]; ok {
				return r
			}
		}
		connection := e.Reason == warren.ReasonConnectionLost || e.Reason == warren.ReasonNotConnected ||
			e.Reason == warren.ReasonBlocked || e.Reason == warren.ReasonReplyQueueLost
		if !e.Remote && e.Outcome == warren.Executed && e.Code != warren.CodeCanceled && !connection {
			return reliability.Answered
		}
		return reliability.Ignored
	}
	for code := warren.CodeCanceled; code <= warren.CodeUnauthenticated; code++ {
		for _, reason := range everyReason {
			for _, outcome := range []warren.Outcome{warren.Unknown, warren.NotExecuted, warren.Executed} {
				for _, remote := range []bool{false, true} {
					e := &warren.Error{Code: code, Reason: reason, Outcome: outcome, Remote: remote}
					for _, err := range []error{e, fmt.Errorf("wrapped: %w", e)} {
						if got := reliability.Classify(err); got != want(e) {
							t.Errorf("%v, remote %t: %v; want %v", err, remote, got, want(e))
						}
					}
				}
			}
		}
	}
}

func TestClassifyOfErrorsThatAreNotWarrens(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]reliability.Result{
		nil:                      reliability.Success,
		context.Canceled:         reliability.Ignored,
		context.DeadlineExceeded: reliability.Failure,
		errors.New("down"):       reliability.Failure,
	} {
		if got := reliability.Classify(err); got != want {
			t.Errorf("%v: %v; want %v", err, got, want)
		}
	}
}
