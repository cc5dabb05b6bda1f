package policy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
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
	local := map[key]policy.Result{
		{warren.CodeUnavailable, warren.ReasonNoRoute}:             policy.Failure,
		{warren.CodeUnavailable, warren.ReasonNoServer}:            policy.Failure,
		{warren.CodeUnavailable, warren.ReasonNacked}:              policy.Failure,
		{warren.CodeDeadlineExceeded, anyReason}:                   policy.Failure,
		{warren.CodeDeadlineExceeded, warren.ReasonConnectionLost}: policy.Ignored,
		{warren.CodeDeadlineExceeded, warren.ReasonNotConnected}:   policy.Ignored,
		{warren.CodeDeadlineExceeded, warren.ReasonBlocked}:        policy.Ignored,
		{warren.CodeDeadlineExceeded, warren.ReasonReplyQueueLost}: policy.Ignored,
	}
	remote := map[key]policy.Result{
		{warren.CodeDeadlineExceeded, anyReason}: policy.Failure,
	}
	for c := warren.CodeCanceled; c <= warren.CodeUnauthenticated; c++ {
		switch c {
		case warren.CodeCanceled, warren.CodeDeadlineExceeded, warren.CodeUnavailable, warren.CodeResourceExhausted:
		default:
			remote[key{c, anyReason}] = policy.Answered
		}
	}
	want := func(e *warren.Error) policy.Result {
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
			return policy.Answered
		}
		return policy.Ignored
	}
	for code := warren.CodeCanceled; code <= warren.CodeUnauthenticated; code++ {
		for _, reason := range everyReason {
			for _, outcome := range []warren.Outcome{warren.Unknown, warren.NotExecuted, warren.Executed} {
				for _, remote := range []bool{false, true} {
					e := &warren.Error{Code: code, Reason: reason, Outcome: outcome, Remote: remote}
					for _, err := range []error{e, fmt.Errorf("wrapped: %w", e)} {
						if got := policy.Classify(err); got != want(e) {
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
	for err, want := range map[error]policy.Result{
		nil:                      policy.Success,
		context.Canceled:         policy.Ignored,
		context.DeadlineExceeded: policy.Failure,
		errors.New("down"):       policy.Failure,
	} {
		if got := policy.Classify(err); got != want {
			t.Errorf("%v: %v; want %v", err, got, want)
		}
	}
}
