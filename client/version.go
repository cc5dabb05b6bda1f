package client

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
)

// v1Lasts is how long a method is called in version 1 after a server has refused
// version 2. Then one more such refusal costs a call a round trip.
const v1Lasts = 5 * time.Minute

// choose returns the version in which a call begins. A server that speaks version 1
// alone refuses version 2 in words that name the call ID and nothing else, whereupon the
// call is made again: so that is for calls of which these words are about no other
// invocation, or which may be repeated anyway. Notifications would not hear them, and
// questions on control queues have version 1 alone.
func (cl *call) choose(now time.Time, rules *policy.Policy) wire.Version {
	repeatable := cl.req.Unique || rules.Idempotent || cl.settings.idempotent
	if cl.asks != nil || cl.settings.oneWay || !repeatable || now.UnixNano() < cl.method.V1Until.Load() {
		return wire.V1
	}
	return wire.V2
}

// refusedVersion goes on in version 1, as a server does not read version 2.
func (cl *call) refusedVersion(refusal *warren.Error) {
	now := time.Now()
	cl.method.V1Until.Store(now.Add(v1Lasts).UnixNano())
	cl.lock()
	cl.version = wire.V1
	cl.mu.Unlock()
	refusal.Method, refusal.CallID, refusal.Issued = cl.req.Method, cl.req.CallID, cl.req.Issued
	cl.on(now, callstate.Event{Kind: callstate.Unread, Version: int(wire.V2), Err: refusal})
}
