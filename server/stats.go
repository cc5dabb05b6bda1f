package server

import "sync/atomic"

// Stats are counters since the server was made.
type Stats struct {
	Requests       uint64 // messages taken from the queues
	Handled        uint64 // requests that a handler saw
	Panics         uint64 // handlers that panicked
	Rejected       uint64 // requests refused before the handler: out of bounds, malformed, expired, overloaded
	Shed           uint64 // those of Rejected that Admission refused
	Dropped        uint64 // messages that were not requests
	Bundled        uint64 // replies that went out with others in one message
	Unrouted       uint64 // replies whose caller was gone
	RepliesRetried uint64 // replies published again, because the first publish was not confirmed
	Undelivered    uint64 // replies given up, because no publish of them was confirmed
	Reconnects     int    // times a connection was made again
	Trips          uint64 // times a KillSwitch stopped the consuming of a method
	Tripped        int    // methods that a KillSwitch holds or probes now

	// Of methods with a store:
	Claims      uint64 // attempts begun
	Takeovers   uint64 // of these, of calls that had been begun before
	Replays     uint64 // requests answered from their call's record
	Attached    uint64 // requests that waited for their call's attempt in this process, or came back to it
	Conflicts   uint64 // requests refused because their call ID was used for another
	Interrupted uint64 // calls not begun a second time, which is AtMostOnce
	StoreErrors uint64 // failures of the store

	Parked   uint64 // calls moved to the dead queues
	Resolved uint64 // questions about calls that were answered
}

type counters struct {
	requests, handled, panics, rejected, shed, dropped, bundled, unrouted, retried, undelivered atomic.Uint64

	claims, takeovers, replays, attached, conflicts, interrupted, storeErrors, parked, resolved atomic.Uint64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	stats := Stats{
		Requests: s.counters.requests.Load(), Handled: s.counters.handled.Load(), Panics: s.counters.panics.Load(),
		Rejected: s.counters.rejected.Load(), Shed: s.counters.shed.Load(), Dropped: s.counters.dropped.Load(),
		Bundled: s.counters.bundled.Load(), Unrouted: s.counters.unrouted.Load(), RepliesRetried: s.counters.retried.Load(),
		Undelivered: s.counters.undelivered.Load(),
		Claims:      s.counters.claims.Load(), Takeovers: s.counters.takeovers.Load(), Replays: s.counters.replays.Load(),
		Attached: s.counters.attached.Load(), Conflicts: s.counters.conflicts.Load(),
		Interrupted: s.counters.interrupted.Load(), StoreErrors: s.counters.storeErrors.Load(),
		Parked: s.counters.parked.Load(), Resolved: s.counters.resolved.Load(),
		Reconnects: max(s.publishing.Sessions()-1, 0) + max(s.consuming.Sessions()-1, 0) + s.direct.reconnects(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.methods {
		trips, tripped := m.kill.counts()
		stats.Trips += trips
		if tripped {
			stats.Tripped++
		}
	}
	return stats
}
