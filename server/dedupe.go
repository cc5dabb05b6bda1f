package server

import (
	"cmp"
	"fmt"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/store"
)

// Mode says what a method with a store promises of a call that is delivered, or
// made, more than once.
type Mode uint8

const (
	// AtLeastOnce answers a call that has ended with the reply that it had. One whose
	// server died before it ended runs again: what the handler does must bear that.
	AtLeastOnce Mode = iota
	// AtMostOnce never begins a call twice. One whose server died before it ended is
	// answered as aborted/interrupted, of unknown outcome. It needs a durable store.
	AtMostOnce
	// Transactional gives the handler a transaction of the store, in which its effect
	// and the record of the call commit as one: see [HandleTx]. It needs a durable
	// store that has transactions.
	Transactional
	// NotDeduped has no records, as methods have without a store.
	NotDeduped
)

var modeNames = [...]string{
	AtLeastOnce: "at-least-once", AtMostOnce: "at-most-once", Transactional: "transactional", NotDeduped: "not-deduped",
}

// String returns "at-least-once", "at-most-once", "transactional" or
// "not-deduped".
func (m Mode) String() string {
	if int(m) >= len(modeNames) {
		return fmt.Sprintf("mode(%d)", uint8(m))
	}
	return modeNames[m]
}

// Dedupe says how calls of a method are told apart and remembered in
// Config.Store. Without a store it has no effect, except Park.
//
// A call is known by its ID, its method and Config.Namespace. A request that has
// the ID of another one, and differs in content type, encoding, headers or body, is
// refused as already_exists/key_reused. A plain caller's IDs count within its reply
// queue alone. A request without an ID is handled without a record by AtLeastOnce
// methods, and refused as invalid_argument/missing_identifier by the others.
//
// Successes are remembered, and errors but for those which say to come later
// (unavailable, resource_exhausted, aborted, deadline_exceeded, canceled, or a
// RetryAfter above 0): after one of these the next attempt runs, except in
// AtMostOnce. An error that the handler marks by [warren.NothingDone] is not remembered
// in any mode. What interceptors and the codec refuse comes before the record.
type Dedupe struct {
	// Mode is the promise. Default: AtLeastOnce.
	Mode Mode
	// ByCaller keeps callers apart by their broker user (AMQP user_id), which the
	// broker has validated. Requests without one are refused as unauthenticated. One
	// caller can then neither see nor block what another has called. Default: false.
	ByCaller bool
	// Tenant returns on whose behalf a request is made, to keep tenants apart that
	// share a broker's user: what one has called is then neither an answer to another,
	// nor in the way of it. [TenantHeader] takes a header's word for it; requests for
	// which it returns "" are of no tenant, and share their IDs. It is asked for
	// questions about calls too (client.Resolve), which have no body, and no
	// headers but those of client.ResolveHeader. It must be quick, return the same for
	// the same request, and is called concurrently. Default: nil, which keeps none
	// apart.
	Tenant func(*warren.Request) string
	// Volatile names headers that may differ between attempts of one call, besides
	// those of trace contexts.
	Volatile []string
	// Retention is for how long records are kept after their last change; longer if the
	// call's deadline is later, or its issue time is ahead. In AtMostOnce and
	// Transactional, a request that was made longer ago, less 10 s, is not begun, as it
	// may have been: aborted/too_old, and a notification is parked. A call that
	// is repeated later runs again. Default: 24 h; 1 min to 90 days.
	Retention time.Duration
	// Lease is for how long a server that shares its store with others is taken for
	// alive without a sign of life; it gives three in that time, for all its calls at
	// once. A store that learns of the end of a process by itself does not wait for
	// it. Default: 3 s; 300 ms to 5 min. It should be shorter than the deadlines of
	// calls.
	Lease time.Duration
	// Replaces is the ID of the store whose place Config.Store takes: the broker keeps
	// which store remembers the method's calls, and a server that has another one does
	// not serve the method, as it would begin again what was begun. If the broker names
	// the store with this ID, it names Config.Store from then on; what the other one
	// remembers counts no more. `warren store adopt` does the same without a change of
	// the program. Stop the servers that have the other store before: as long as the
	// method, or its control queue, is consumed, this one waits. Default: none.
	Replaces string
	// Park is how many attempts of a call may begin and not end before it is parked:
	// moved to the queue NAME.dead and answered as internal/poisoned. The last
	// attempt runs while no other handler of the method does in this server, so that
	// what kills the server takes none of them with it; other servers, which share
	// the store and count with this one, go on. Default: 5; 2 to 1000; negative parks
	// nothing.
	//
	// Without a store the broker's count of deliveries stands for it, which only
	// quorum queues have, and which also grows for requests that were fetched and
	// never begun: hence the default is to park nothing then. With a store, requests
	// without an ID are never parked.
	Park int
}

// TenantHeader is the tenant that the header of that name says, "" if there is none.
// The caller says it: who must not see others' replies needs [Dedupe.ByCaller], or an
// interceptor that knows who may speak for whom.
func TenantHeader(name string) func(*warren.Request) string {
	return func(req *warren.Request) string { return req.Header[name] }
}

const (
	defaultRetention = 24 * time.Hour
	defaultLease     = 3 * time.Second
	defaultPark      = 5
)

func (d Dedupe) withDefaults(stored bool) Dedupe {
	d.Volatile = append([]string(nil), d.Volatile...)
	d.Retention = cmp.Or(d.Retention, defaultRetention)
	d.Lease = cmp.Or(d.Lease, defaultLease)
	if d.Park == 0 && stored {
		d.Park = defaultPark
	}
	return d
}

func (d *Dedupe) validate(field func(string) string) error {
	if int(d.Mode) >= len(modeNames) {
		return fmt.Errorf("warren: %s is %d; it must be one of the modes", field("Dedupe.Mode"), d.Mode)
	}
	if d.Park > 0 {
		if err := within(field("Dedupe.Park"), d.Park, 2, 1000); err != nil {
			return err
		}
	}
	return cmp.Or(
		within(field("Dedupe.Retention"), d.Retention, time.Minute, 90*24*time.Hour),
		within(field("Dedupe.Lease"), d.Lease, 300*time.Millisecond, 5*time.Minute),
	)
}

// demands returns what is missing for the promise of the mode.
func (d *Dedupe) demands(field func(string) string, s store.Store) error {
	switch {
	case d.Mode != AtMostOnce && d.Mode != Transactional:
		return nil
	case s == nil:
		return fmt.Errorf("warren: %s is %v; it needs server.Config.Store", field("Dedupe.Mode"), d.Mode)
	case !s.Traits().Durable:
		return fmt.Errorf("warren: %s is %v; it needs a durable store, and this one forgets", field("Dedupe.Mode"), d.Mode)
	default:
		return nil
	}
}

// terminal reports whether an error is remembered: a repetition would not end
// otherwise.
func terminal(e *warren.Error) bool {
	if e.RetryAfter > 0 {
		return false
	}
	if e.Reason == warren.ReasonReplyTooLarge {
		return true
	}
	switch e.Code {
	case warren.CodeUnavailable, warren.CodeResourceExhausted, warren.CodeAborted, warren.CodeDeadlineExceeded, warren.CodeCanceled:
		return false
	default:
		return true
	}
}
