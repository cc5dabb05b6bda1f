package policy

import (
	"time"

	"github.com/warren-rpc/warren"
)

// Decision says what follows a failed attempt.
type Decision struct {
	// Retry says that another attempt is made, after Wait.
	Retry bool
	// Wait is how long to wait first: 0 or more, and so short that an attempt of
	// [MinAttempt] fits before the deadline.
	Wait time.Duration
	// Why says what decided: where Wait comes from, or what stands against a retry.
	Why Why
	// Ignored says that a breaker is not told of the failed attempt: the broker has
	// refused it, and not for long enough to be more than an election.
	Ignored bool
}

// Why says what decided about a retry.
type Why string

const (
	WhyBackoff       Why = "backoff"        // it is made, after the policy's backoff
	WhyPushback      Why = "pushback"       // the server said when or, if there is no retry, never
	WhyAttempts      Why = "attempts"       // no attempt is left
	WhyDeadline      Why = "deadline"       // it could not end before the deadline
	WhyBudget        Why = "budget"         // the budget is spent
	WhyNotIdempotent Why = "not_idempotent" // the attempt may have been executed, and the method is not idempotent
	WhyCode          Why = "code"           // the policy does not name the error's code
	WhyReason        Why = "reason"         // the error's reason is one that is never repeated
	WhyRefused       Why = "refused"        // it is made, as the broker refused the last one, which is not counted
)

// neverRepeated are reasons that a repetition cannot mend, or must not.
var neverRepeated = [...]string{
	warren.ReasonNoRoute,          // fail-fast means at once
	warren.ReasonNoServer,         // the same
	warren.ReasonBreakerOpen,      // the breaker says when
	warren.ReasonBudgetExhausted,  // the budget has said no
	warren.ReasonQueueFull,        // this client has too much to do as it is
	warren.ReasonClientClosed,     // and this one nothing more
	warren.ReasonInterrupted,      // the handler may not run again
	warren.ReasonTooOld,           // it grows no younger
	warren.ReasonPoisoned,         // too many attempts were started already
	warren.ReasonKeyReused,        // the call ID names another request
	warren.ReasonRequestTooLarge,  // it stays so
	warren.ReasonReplyTooLarge,    // so does this, and it ran
	warren.ReasonReplyNotRetained, // it ran, and its reply is gone
}

// BudgetExhausted returns the error of a call that the budget kept from being
// repeated: unavailable/budget_exhausted. What is known of the call stays as the
// last attempt's error has it, which is its cause; outcome, attempts and
// retry-after among it.
func BudgetExhausted(last *warren.Error) *warren.Error {
	return &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonBudgetExhausted, Outcome: last.Outcome,
		Message: "too much has failed lately for a retry; the last attempt: " + last.Code.String() + ": " + last.Message,
		Method:  last.Method, CallID: last.CallID, Attempts: last.Attempts, RetryAfter: last.RetryAfter,
		Incident: last.Incident, Cause: last,
	}
}
