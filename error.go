package warren

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// Reasons that Warren itself gives. A reason is a stable string under a code,
// finer than it: programs may compare it. The code that usually goes with it is
// named; a call that waited on nevertheless ends with its deadline's. Handlers may use reasons of their own:
// up to [MaxReason] bytes of [a-z0-9_].
const (
	ReasonNoRoute           = "no_route"           // unavailable: no queue has the method's name
	ReasonNoServer          = "no_server"          // unavailable: the queue exists and nobody consumes it
	ReasonNotConnected      = "not_connected"      // no connection to a broker could be had in time
	ReasonBlocked           = "connection_blocked" // unavailable: the broker blocks publishers (memory or disk alarm)
	ReasonNacked            = "nacked"             // unavailable: the broker refused the request; whether it was enqueued is unknown
	ReasonConnectionLost    = "connection_lost"    // unavailable: the connection ended while the request was in flight
	ReasonReplyQueueLost    = "reply_queue_lost"   // unavailable: the reply queue is gone, with what it held
	ReasonClientClosed      = "client_closed"      // canceled: Close was called while the call was in flight
	ReasonQueueFull         = "queue_full"         // resource_exhausted: too many calls, or bytes, are pending in this client
	ReasonOverloaded        = "overloaded"         // resource_exhausted: too many requests wait for the method's handlers
	ReasonRequestTooLarge   = "request_too_large"  // resource_exhausted: the request's body is over the bound, or over the broker's
	ReasonReplyTooLarge     = "reply_too_large"    // resource_exhausted: the reply is over the bound, or over what the broker takes
	ReasonBadRequest        = "bad_request"        // invalid_argument: the request breaks a bound or the wire format
	ReasonBadReply          = "bad_reply"          // internal: the reply cannot be understood
	ReasonMalformedBody     = "malformed_body"     // invalid_argument: the codec cannot decode the body
	ReasonUnsupportedMedia  = "unsupported_media"  // invalid_argument: the method does not speak this content type or encoding
	ReasonInvalid           = "invalid"            // invalid_argument: the decoded request fails its own Validate
	ReasonMissingIdentifier = "missing_identifier" // invalid_argument: the method demands a correlation ID
	ReasonKeyReused         = "key_reused"         // already_exists: the call ID names another request
	ReasonExpired           = "expired"            // deadline_exceeded: the request outlived its deadline before a handler saw it
	ReasonPanic             = "panic"              // internal: the handler panicked; Incident names the entry in the server's log
	ReasonBreakerOpen       = "breaker_open"       // unavailable: the method's circuit breaker is open
	ReasonBudgetExhausted   = "budget_exhausted"   // unavailable: the target's retry budget is spent
	ReasonPoisoned          = "poisoned"           // internal: too many attempts of this call were started and not ended
	ReasonTooOld            = "too_old"            // aborted: the call was made longer ago than the server remembers
	ReasonInterrupted       = "interrupted"        // the handler was interrupted and may not run again
	ReasonStoreUnavailable  = "store_unavailable"  // unavailable: the server's idempotency store does not work
	ReasonStoreFull         = "store_full"         // resource_exhausted: the server's idempotency store takes no new calls
	ReasonReplyNotRetained  = "reply_not_retained" // the call executed; its reply was too large to keep
	ReasonNotProven         = "not_proven"         // permission_denied: who asks about a call does not prove to know it
	ReasonNotPermitted      = "not_permitted"      // permission_denied: the broker refuses this user the operation
	MaxReason               = 64                   // bytes in a reason
	MaxIncident             = 36                   // bytes in an incident ID
	MaxRetryAfter           = 24 * 7 * time.Hour   // upper bound of RetryAfter
)

// Error is the one error type that leaves package client, and the one a
// handler returns to choose what its caller sees. Its fields are set before it
// is handed out and must not be changed afterwards; it is then safe for
// concurrent use.
type Error struct {
	// Code classifies the error; never zero.
	Code Code
	// Reason is a finer, stable string under the code, or empty.
	Reason string
	// Outcome says whether the handler can have run.
	Outcome Outcome
	// Message is for people. It never carries credentials.
	Message string
	// Method and CallID name the call; empty where there is none yet.
	Method, CallID string
	// Attempts is how many attempts were handed to a connection, 0 if none was.
	Attempts int
	// RetryAfter is how long the caller should wait before it calls again.
	// 0 means no advice; a negative value means: do not call again.
	RetryAfter time.Duration
	// Remote says that the error came from the server, in a reply.
	Remote bool
	// Replayed says that the error was stored by an earlier attempt and the
	// handler did not run for this one.
	Replayed bool
	// Issued is when the call was made, by this client's clock; zero on the
	// server's side, and where there was no call yet. It does not travel.
	Issued time.Time
	// Proof shows a server that the caller knows this call, for client.Resolve; zero on
	// the server's side, and where the Outcome is NotExecuted. It does not travel with
	// the error. Who has it and the call ID can read the call's reply.
	Proof Proof
	// Incident names an entry in the server's log, or is empty.
	Incident string
	// Details are for programs, as the handler chose them: at most 32 entries
	// and 4 KiB on the wire.
	Details map[string]string
	// Cause is what led to the error on this side of the wire; it does not
	// travel. errors.Is and errors.As see it.
	Cause error
}

// Errorf returns an *Error with that code and message. What each %w in the
// format wraps is found in Cause, which stays on this side of the wire, as with
// fmt.Errorf; its text is part of the message, which does travel.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	cause := errors.Unwrap(err)
	if _, several := err.(interface{ Unwrap() []error }); several {
		cause = err
	}
	return &Error{Code: code, Message: err.Error(), Cause: cause}
}

// WithReason returns a copy of e with that reason.
func (e *Error) WithReason(reason string) *Error {
	c := *e
	c.Reason = reason
	return &c
}

// WithDetail returns a copy of e with one more detail.
func (e *Error) WithDetail(key, value string) *Error {
	c := *e
	c.Details = make(map[string]string, len(e.Details)+1)
	maps.Copy(c.Details, e.Details)
	c.Details[key] = value
	return &c
}

// WithRetryAfter returns a copy of e that advises the caller to wait for d
// before it calls again, or not to call again if d is negative.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error returns "method: code/reason (outcome): message", leaving out what is
// empty. It, Unwrap and Is may be called on nil: a nil *Error that is returned
// as an error is a slip that the language invites, and what it meets on its way
// to a caller must not panic.
func (e *Error) Error() string {
	if e == nil {
		return "<nil>"
	}
	var b strings.Builder
	if e.Method != "" {
		b.WriteString(e.Method)
		b.WriteString(": ")
	}
	b.WriteString(e.Code.String())
	if e.Reason != "" {
		b.WriteByte('/')
		b.WriteString(e.Reason)
	}
	b.WriteString(" (")
	b.WriteString(e.Outcome.String())
	b.WriteByte(')')
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	if e.Incident != "" {
		b.WriteString(" [incident ")
		b.WriteString(e.Incident)
		b.WriteByte(']')
	}
	return b.String()
}

// Unwrap returns Cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Cause
}

// Is reports whether target is the context error that e's code stands for, so
// that errors.Is(err, context.DeadlineExceeded) holds for every
// deadline_exceeded and errors.Is(err, context.Canceled) for every canceled,
// remote ones included.
func (e *Error) Is(target error) bool {
	if e == nil {
		return false
	}
	switch target {
	case context.DeadlineExceeded:
		return e.Code == CodeDeadlineExceeded
	case context.Canceled:
		return e.Code == CodeCanceled
	default:
		return false
	}
}

// AsError returns the *Error in err's chain. A nil one does not count.
func AsError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e) && e != nil
	return e, ok
}

// CodeOf returns the code of the *Error in err's chain, the code that a bare
// context error stands for, 0 for nil, and otherwise CodeUnknown.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	if e, ok := AsError(err); ok {
		return e.Code
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return CodeDeadlineExceeded
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	default:
		return CodeUnknown
	}
}
