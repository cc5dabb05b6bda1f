package server

import (
	"context"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// A replay is a request that somebody has taken out of the queue of dead ones. It
// says by which incident it was parked, and who had called; anybody may say so. What
// makes it true is a voucher: a record that the server writes before it parks a
// call, and whose key is made of the incident, the caller and the call's own key.

// voucher returns the key of the record that vouches for a parked call. The suffix
// of its method's name is no method's: no request has such a key.
func (g *gate) voucher(call store.Key, r wire.Replay) store.Key {
	return store.Scope{
		Namespace: g.s.cfg.Namespace, Method: wire.DeadQueue(g.m.Name), CallID: r.Incident, Caller: r.User, ReplyTo: call.String(),
	}.Key()
}

// voucherRetention is for how long a parked call waits at most for somebody who
// decides, and its replay is believed.
const voucherRetention = 90 * 24 * time.Hour

// vouch writes the voucher of a call that is to be parked. A store that is full does
// not keep a call from being parked: it is no more than refused when it is replayed.
func (at *attempt) vouch(incident string) error {
	key := at.voucher(at.a.id.key, wire.Replay{Incident: incident, User: at.a.req.UserID})
	return at.untilTaken(context.Background(), func(ctx context.Context) error {
		claimed, _, err := at.store.Claim(ctx, store.Claim{
			Key: key, Method: wire.DeadQueue(at.m.Name), CallID: incident, Lease: at.m.Dedupe.Lease, Retention: voucherRetention,
		})
		switch {
		case isFull(err):
			at.s.cfg.Logger.Error("the store is full: the call that is being parked cannot be replayed", "method", at.m.Name,
				"call_id", clip(at.a.req.CallID), "incident", incident)
			return nil
		case err != nil || claimed.State.Ended():
			return err
		}
		return at.store.Complete(ctx, key, claimed.Token, store.Result{State: store.Completed}, voucherRetention)
	})
}

// believe looks the voucher of a replay up. If there is one the request is what it
// says: its call may run again, for the caller who made it.
func (g *gate) believe(ctx context.Context, a *answer) error {
	req := *a.req
	if a.replay.User != "" {
		req.UserID = a.replay.User
	}
	id, refusal := g.identify(&req.Request, a.d.ReplyTo)
	if id == nil || refusal != nil {
		return nil //nolint:nilerr // it never had a record: without the mark it is refused likewise
	}
	rec, err := g.store.Get(ctx, g.voucher(id.key, *a.replay))
	if err != nil {
		return g.unresolved(req.CallID, err)
	}
	if a.unpark = rec.State != store.Absent; a.unpark {
		a.req.UserID = req.UserID
	}
	return nil
}

// refuseReplay parks a replay again that its call has not come to an end by, and
// reports whether it did: the copy that was parked is gone.
func (a *answer) refuseReplay(why *warren.Error) bool {
	fresh := why.Reason == warren.ReasonPoisoned && !why.Replayed // it is parked anew
	if a.replay == nil || a.m.Dedupe.Park <= 0 || fresh || why.Outcome == warren.Executed && terminal(why) {
		return false
	}
	r := *a.replay
	a.replay = nil
	told := *why
	told.Outcome, told.Incident = warren.Unknown, r.Incident
	told.Message = "the replay was refused: " + why.Error()
	a.moveToDead(&told, wire.Dead{Reason: replayRefused, Incident: r.Incident, User: r.User}, a.settlePark)
	return true
}

// replayRefused is noted as the reason why a replay is parked again.
const replayRefused = "replay_refused"
