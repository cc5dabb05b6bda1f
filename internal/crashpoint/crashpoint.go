// Package crashpoint names the instants of a call at which a process may die,
// and lets a test act there. Without a hook a point costs one atomic load.
package crashpoint

import "sync/atomic"

// Point is one instant in the way of a call.
type Point string

// The points, in the order in which a call passes them. The first three are
// the client's, the others the server's.
const (
	BeforePublish  Point = "before-publish"
	Published      Point = "published"
	Confirmed      Point = "confirmed"
	Delivered      Point = "delivered"
	Claimed        Point = "claimed"
	InHandler      Point = "in-handler"
	EffectDone     Point = "effect-done"
	Committing     Point = "committing"
	Committed      Point = "committed"
	ReplyPublished Point = "reply-published"
	ReplyConfirmed Point = "reply-confirmed"
	Acked          Point = "acked"
)

// All lists every point in order.
var All = []Point{
	BeforePublish, Published, Confirmed, Delivered, Claimed, InHandler, EffectDone, Committing, Committed,
	ReplyPublished, ReplyConfirmed, Acked,
}

// Hook is called at every point that is reached, on the goroutine that reached
// it: a hook that blocks holds the call exactly there.
type Hook func(point Point, method, callID string)

var hook atomic.Pointer[Hook]

// Set installs h for the whole process, or removes the hook if h is nil. It is
// for tests and for the chaos kit, before any client or server is made.
func Set(h Hook) {
	if h == nil {
		hook.Store(nil)
		return
	}
	hook.Store(&h)
}

// Enabled reports whether a hook is installed.
func Enabled() bool { return hook.Load() != nil }

// Reached calls the hook, if there is one.
func Reached(point Point, method, callID string) {
	if h := hook.Load(); h != nil {
		(*h)(point, method, callID)
	}
}
