package server

import (
	"context"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// vouchers tell true replays from forged ones. A replay is a request that somebody has
// taken out of the dead queue. It says by which incident it was parked, and
// who had called; anybody may say so. What makes it true is a voucher: a record that the
// server writes before it parks a call, and whose key is made of the incident, the caller
// and the call's own key.
type vouchers struct {
	keys  *keys
	store store.Store
}

// key returns the key of the record that vouches for a parked call. The suffix
// of its method's name is no method's: no request has such a key.
func (v *vouchers) key(call store.Key, incident, user string) store.Key {
	m := v.keys.m
	return store.Scope{
		Namespace: m.s.cfg.Namespace, Method: wire.DeadQueue(m.Name), CallID: incident, Caller: user, ReplyTo: call.String(),
	}.Key()
}

// write writes the voucher of a call that is to be parked. A store that is full does
// not keep a call from being parked: it is no more than refused when it is replayed.
func (v *vouchers) write(ctx context.Context, ex *exchange, note wire.Dead) error {
	key := v.key(ex.id.key, note.Incident, note.User)
	claimed, _, err := v.store.Claim(ctx, store.Claim{
		Key: key, Method: wire.DeadQueue(ex.m.Name), CallID: note.Incident, Lease: ex.m.Dedupe.Lease, Retention: longestRetention,
	})
	switch {
	case isFull(err):
		ex.m.log.Error("the store is full: the call that is being parked cannot be replayed",
			"call_id", clip(ex.req.CallID), "incident", note.Incident)
		return nil
	case err != nil || claimed.State.Ended():
		return err
	}
	return v.store.Complete(ctx, key, claimed.Token, store.Result{State: store.Completed}, longestRetention)
}

// check looks the voucher of a replay up. If there is one the request is what it
// says: its call may run again, for the caller who made it.
func (v *vouchers) check(ctx context.Context, ex *exchange) error {
	req := *ex.req
	if ex.replay.User != "" {
		req.UserID = ex.replay.User
	}
	id, refusal := v.keys.identify(&req.Request, ex.d.ReplyTo)
	if id == nil || refusal != nil {
		return nil //nolint:nilerr // it never had a record: without the mark it is refused likewise
	}
	rec, err := v.store.Get(ctx, v.key(id.key, ex.replay.Incident, ex.replay.User))
	if err != nil {
		return err
	}
	if ex.unpark = rec.State != store.Absent; ex.unpark {
		ex.req.UserID = req.UserID
	}
	return nil
}

// endsReplay reports whether what is told of a replay ends its call, so that the copy
// that was parked need not be kept: it has run, or is parked anew.
func endsReplay(told *warren.Error) bool {
	parkedAnew := told.Reason == warren.ReasonPoisoned && !told.Replayed
	return parkedAnew || told.Outcome == warren.Executed && terminal(told)
}

// replayRefused is noted as the reason why a replay is parked again.
const replayRefused = "replay_refused"
