package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// records says what the records of a method's calls tell: how a call ended, or what is
// proven of one that did not.
type records struct {
	m         *method
	store     store.Store
	retention retention
	failures  logLimit // of the store, which strangers cause as often as they ask
}

// replay answers with what the call ended with.
func (r *records) replay(rec *store.Record) decision {
	r.m.s.counters.replays.Add(1)
	reply, failure, kept := r.read(rec)
	switch {
	case kept && failure != nil:
		failure.Replayed = true
		return failed(failure)
	case kept:
		reply.Replayed = true
		return replied(reply)
	case rec.State == store.Parked:
		return failed(&warren.Error{
			Code: warren.CodeInternal, Reason: warren.ReasonPoisoned, Outcome: r.interrupted(), Replayed: true,
			Message: "its attempts were begun and did not end; the call is parked",
		})
	}
	why := "its stored reply cannot be read"
	if !rec.Retained {
		why = fmt.Sprintf("its reply of %d bytes was too large to keep", rec.Size)
	}
	return failed(&warren.Error{
		Code: warren.CodeDataLoss, Reason: warren.ReasonReplyNotRetained, Outcome: warren.Executed, Replayed: true,
		Message: "the call was executed; " + why,
	})
}

// read returns what a call ended with, if that is kept.
func (r *records) read(rec *store.Record) (reply *warren.Reply, failure *warren.Error, kept bool) {
	if !rec.Retained {
		return nil, nil, false
	}
	reply, failure, err := wire.DecodeStored(rec.Payload)
	if err != nil {
		r.m.log.Error("a stored reply cannot be read", "call_id", clip(rec.CallID), "error", err)
	}
	return reply, failure, err == nil
}

// resolution tells how a call has ended.
func (r *records) resolution(rec *store.Record) wire.Resolution {
	told := wire.Resolution{State: wire.StateFailed, Outcome: warren.Executed}
	switch rec.State {
	case store.Completed:
		told.State = wire.StateCompleted
	case store.Parked:
		told.Outcome = r.interrupted()
	default:
	}
	told.Reply, told.Err, told.Retained = r.read(rec)
	if told.Err != nil {
		told.Outcome = told.Err.Outcome
	}
	return told
}

// outcome is that of a request that was delivered before and is refused now, as the
// record of its call has it. That there is none proves nothing: the server that had the
// request may be about to begin it.
func (r *records) outcome(ctx context.Context, ex *exchange) warren.Outcome {
	rec, err := r.store.Get(ctx, ex.id.key)
	if err == nil && rec.State == store.Absent {
		rec, err = r.store.Get(ctx, ex.id.key.Tombstone(ex.id.fingerprint))
	}
	switch {
	case err != nil || !rec.Fingerprint.Matches(ex.id.fingerprint):
	case rec.State.Ended():
		return r.resolution(&rec).Outcome
	case rec.State == store.Tombstone:
		return r.proven(&rec, ex.req.Issued)
	}
	return warren.Unknown
}

// canceled is what is told of a call that was resolved before it was begun, or after it
// was interrupted.
func (r *records) canceled(ex *exchange, rec *store.Record) *warren.Error {
	told := &warren.Error{Code: warren.CodeCanceled, Outcome: ex.notExecuted(), Message: "the call was cancelled before it was begun"}
	switch {
	case rec.Token > 0:
		told.Message, told.Outcome = "the call was cancelled; an attempt of it had been begun", r.interrupted()
		if told.Outcome == warren.NotExecuted {
			told.Message += ", and was rolled back"
		}
	case told.Outcome == warren.Unknown && !ex.begun:
		told.Outcome = r.proven(rec, ex.req.Issued)
	}
	return told
}

// proven is the outcome of a call that will not run: NotExecuted if what is known of it
// proves that it never did, Unknown if not.
func (r *records) proven(rec *store.Record, issued time.Time) warren.Outcome {
	if rec.Token > 0 {
		return r.interrupted()
	}
	// There was no record of it. There may have been one that was forgotten, or that
	// went with an earlier store. What may be lost without a word outlives its loss by its
	// identity, if it is not this process's.
	if t := r.store.Traits(); t.Shared && !t.Durable {
		return warren.Unknown
	}
	if r.retention.covers(issued) && issued.After(r.store.Identity().Created.Add(clockAllowance)) {
		return warren.NotExecuted
	}
	return warren.Unknown
}

// interrupted is what is known of attempts that did not end: in a transaction,
// they were rolled back.
func (r *records) interrupted() warren.Outcome {
	if r.m.Dedupe.Mode == Transactional {
		return warren.NotExecuted
	}
	return warren.Unknown
}

// storeRetryAfter is the advice to callers that meet a store which does not work.
const storeRetryAfter = time.Second

// storeError is what is told, but for the outcome, while the store does not do its work.
func (r *records) storeError(err error) *warren.Error {
	r.m.s.counters.storeErrors.Add(1)
	told := &warren.Error{Code: warren.CodeResourceExhausted, Reason: warren.ReasonStoreFull, RetryAfter: storeRetryAfter}
	if full, ok := errors.AsType[*store.FullError](err); ok {
		told.Message, told.RetryAfter = "the server's store is full", max(full.RetryAfter, storeRetryAfter)
	} else if full, ok := errors.AsType[*store.TombstonesError](err); ok {
		told.Message = "the server's store takes no more notes of calls that never came"
		told.RetryAfter = max(full.RetryAfter, storeRetryAfter)
	} else {
		told.Code, told.Reason = warren.CodeUnavailable, warren.ReasonStoreUnavailable
		told.Message = "the server cannot look the call up; its log has the rest"
	}
	return told
}

// unanswered is what is told of a question that the store does not answer.
func (r *records) unanswered(callID string, err error) *warren.Error {
	if kept, due := r.failures.due(); due {
		r.m.log.Error("the idempotency store has failed; what became of a call cannot be told",
			"call_id", clip(callID), "error", err, "others", kept)
	}
	return r.storeError(err)
}

// isOneOf reports whether err is one of these.
func isOneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// isFull reports whether the store has failed for lack of room.
func isFull(err error) bool {
	_, full := errors.AsType[*store.FullError](err)
	return full
}

// uncertain reports whether a change that failed so may have been made.
func uncertain(err error) bool {
	_, unavailable := errors.AsType[*store.UnavailableError](err)
	return unavailable
}
