package client

import "sync/atomic"

// Stats are counters since the client was made.
type Stats struct {
	Calls        uint64 // calls, notifications and resolves begun
	Attempts     uint64 // requests handed to a connection, of all of these
	Replies      uint64 // replies that ended a call
	Bundled      uint64 // replies that came with others in one message
	LateReplies  uint64 // replies that no call waited for: late, double or foreign
	Unreadable   uint64 // messages that were dropped because their headers, or the replies in them, cannot be read
	Returned     uint64 // publishes that no queue took
	Nacked       uint64 // publishes that the broker refused
	Lost         uint64 // publishes whose fate is unknown
	Republished  uint64 // attempts after the first
	Hedged       uint64 // of these, those that were made beside the first
	Joined       uint64 // calls that joined one in flight with the same ID
	Reconnects   int    // times either connection was made again
	Pending      int    // calls in flight now
	PendingBytes int    // bytes of their bodies
}

type counters struct {
	calls, attempts, replies, bundled, late, unreadable, returned, nacked, lost, republished, hedged, joined atomic.Uint64
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	s := Stats{
		Calls: c.counters.calls.Load(), Attempts: c.counters.attempts.Load(),
		Replies: c.counters.replies.Load(), Bundled: c.counters.bundled.Load(), LateReplies: c.counters.late.Load(),
		Unreadable: c.counters.unreadable.Load(),
		Returned:   c.counters.returned.Load(), Nacked: c.counters.nacked.Load(), Lost: c.counters.lost.Load(),
		Republished: c.counters.republished.Load(), Hedged: c.counters.hedged.Load(), Joined: c.counters.joined.Load(),
		Reconnects: max(c.publishing.Sessions()-1, 0) + max(c.consuming.Sessions()-1, 0),
	}
	s.Pending, s.PendingBytes = c.pending.size()
	return s
}
