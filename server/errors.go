package server

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
)

// forCaller returns what the caller is told of a handler's error, but for the outcome:
// what the handler said to it, and otherwise no more than a code and where the log has
// the rest.
func forCaller(log *slog.Logger, callID string, err error) *warren.Error {
	e, typed := warren.AsError(err)
	told, passed := warren.PassedOn(err)
	switch {
	case passed:
	case typed && e.Method == "":
		own := *e
		told, own.Replayed = &own, false
	default:
		return unmarked(log, callID, err, typed)
	}
	told.Cause = err
	if !told.Code.Valid() {
		told.Code = warren.CodeUnknown
	}
	return told
}

// unmarked is forCaller of an error that is not meant for callers, unless its text is
// marked as public.
func unmarked(log *slog.Logger, callID string, err error, ofCall bool) *warren.Error {
	told := &warren.Error{Code: warren.CodeOf(err), Cause: err}
	if text, ok := warren.PublicText(err); ok {
		told.Message = strings.TrimPrefix(text, "warren: ")
		return told
	}
	switch {
	case ofCall:
		// It came from a call that the handler made: its code says something about
		// this call too; its text may name brokers and methods that this caller
		// must not know of.
		told.Message = "a call that the handler made failed; the server's log has the rest"
	case told.Code == warren.CodeDeadlineExceeded:
		told.Message = "the handler ran out of time"
		return told
	case told.Code == warren.CodeCanceled:
		told.Message = "the handler was cancelled"
		return told
	default:
		told.Message = "the handler failed; the server's log has the rest"
	}
	told.Incident = newIncident()
	log.Error("the handler failed", "incident", told.Incident, "call_id", clip(callID), "error", err)
	return told
}

// panicError is what is told, but for the outcome, of a panic of the application's code.
func panicError(message string) *warren.Error {
	told := warren.Errorf(warren.CodeInternal, "%s", message).WithReason(warren.ReasonPanic)
	told.Incident = newIncident()
	return told
}

// poisoned is what is told of a request that is parked.
func poisoned(message string) *warren.Error {
	told := warren.Errorf(warren.CodeInternal, "%s", message).WithReason(warren.ReasonPoisoned)
	told.Incident = newIncident()
	return told
}

// poisonedBy is poisoned after so many attempts.
func poisonedBy(attempts int) *warren.Error {
	return poisoned(fmt.Sprintf("%d attempts were begun and did not end; the call is parked", attempts))
}

// logPanic counts and writes down a panic of the application's code, while its stack is
// there. value is nil if the code has ended its goroutine.
func logPanic(m *method, what, callID string, told *warren.Error, value any) {
	m.s.counters.panics.Add(1)
	m.log.Error(what, "incident", told.Incident, "call_id", clip(callID), "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}

// unreadable is what is told of a request whose headers could not be kept, nil if they
// are what was sent.
func unreadable(d *broker.Delivery) error {
	why := d.Unreadable()
	if why == "" {
		return nil
	}
	return warren.Errorf(warren.CodeInvalidArgument, "%s", why).WithReason(warren.ReasonBadRequest)
}

// newIncident returns an identifier that nobody can guess.
func newIncident() string { return uuid.NewString() }
