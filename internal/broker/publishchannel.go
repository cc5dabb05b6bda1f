package broker

import (
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// publishChannel is one channel in confirm mode. One goroutine writes to it,
// another reads returns and confirms together: the broker sends a message's
// return before its confirm, and only a reader of both can keep that order.
type publishChannel struct {
	s       *Session
	ch      *amqp.Channel
	p       *Publisher
	limits  *limits
	returns chan amqp.Return
	closes  chan *amqp.Error

	finished  chan struct{} // closed when all is settled
	found     bool          // set before that: it is known what the broker closed the channel for
	spoiled   chan struct{} // closed when the channel must not be written to any more
	spoilOnce sync.Once
	progress  chan struct{} // one token: there is room again
	added     chan struct{} // one token: something was written

	mu       sync.Mutex
	inFlight []*Publishing // in the order of their delivery tags
	full     bool          // the writer waits for room
	retired  bool          // nothing more will be written
	closed   *amqp.Error   // what the broker closed the channel with
}

func newPublishChannel(p *Publisher, s *Session, limits *limits) (*publishChannel, error) {
	ch, err := s.channel()
	if err != nil {
		return nil, err
	}
	c := &publishChannel{
		s: s, ch: ch, p: p, limits: limits,
		returns:  ch.NotifyReturn(make(chan amqp.Return, window)),
		closes:   ch.NotifyClose(make(chan *amqp.Error, 1)),
		finished: make(chan struct{}),
		spoiled:  make(chan struct{}),
		progress: make(chan struct{}, 1),
		added:    make(chan struct{}, 1),
	}
	if err := s.do("select confirms", func() error { return ch.Confirm(false) }); err != nil {
		s.abandon(ch, err)
		return nil, err
	}
	return c, nil
}

func (c *publishChannel) spoil() { c.spoilOnce.Do(func() { close(c.spoiled) }) }

// window is how many publishes may be unconfirmed on one channel. The buffer of
// returns is as large: a return that finds no room stalls the connection's
// reader for seconds and is then dropped, and its publish would look acked.
const window = 2048

// window is how many publishes may be unconfirmed.
func (c *publishChannel) window() int {
	if c.p.single {
		return 1
	}
	return window
}

// room tells how many more messages may be written now.
func (c *publishChannel) room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.window() - len(c.inFlight)
	c.full = room <= 0
	return room
}

// publish writes the items in order and returns how many it dealt with: those
// that it left out can be written elsewhere, since nothing of them was written
// here.
func (c *publishChannel) publish(items []*Publishing) int {
	now := time.Now()
	defer notify(c.added)
	for i, item := range items {
		if c.ch.IsClosed() {
			c.spoil()
			return i
		}
		if !item.state.CompareAndSwap(queued, writing) {
			continue // withdrawn
		}
		if !item.Sink.Writing(now, &item.Msg) {
			item.settle(Unsent, nil)
			continue
		}
		if refusal := c.limits.check(&item.Msg); refusal != nil {
			item.settle(Refused, refusal)
			continue
		}
		// It joins inFlight first: its return may come before Publish returns.
		c.mu.Lock()
		c.inFlight = append(c.inFlight, item)
		c.mu.Unlock()
		confirm, err := c.ch.PublishWithDeferredConfirm("", item.Key, item.Mandatory, false, item.Msg)
		c.mu.Lock()
		item.confirm = confirm
		c.mu.Unlock()
		if err != nil {
			// Some of its frames may have gone out: it ends with the channel.
			c.spoil()
			return i + 1
		}
	}
	return len(items)
}

// retire says that nothing more will be written; settleAll ends when all is
// settled.
func (c *publishChannel) retire() {
	c.spoil()
	c.mu.Lock()
	c.retired = true
	c.mu.Unlock()
	notify(c.added)
}

const (
	// overtakeAfter is how long the oldest publish may hold up the settling of those
	// after it. Confirms of different queues may overtake one another.
	overtakeAfter = 20 * time.Millisecond
	// slowConfirm is how long a publish may stay unconfirmed before others go out on
	// another channel. In a cluster a quorum queue that had been deleted and made again
	// was seen to swallow what came, without a confirm and without a nack. Whatever it
	// was, calls that come later should not share its channel.
	slowConfirm = 5 * time.Second
	// confirmTimeout is how long a publish may stay unconfirmed, and how long a
	// channel that was replaced is kept for what it still owes. A quorum queue
	// without its majority never confirms; without an end, what waits for it would
	// fill the window, or a server's prefetch, for good.
	confirmTimeout = 30 * time.Second
)

// settleAll settles publishes as the broker answers, until the channel is
// retired and owes nothing, has ended, or does not confirm what it should.
func (c *publishChannel) settleAll() {
	defer c.finish()
	var oldest *amqp.DeferredConfirmation
	var since time.Time // of the oldest
	var retiredAt time.Time
	late := time.NewTimer(overtakeAfter)
	defer late.Stop()
	for {
		head, retired := c.head()
		if retired {
			if head == nil {
				return
			}
			if retiredAt.IsZero() {
				retiredAt = time.Now()
			}
		}
		// Once for each head: steady traffic must not put it off for ever.
		if head != oldest {
			oldest, since = head, time.Now()
			late.Reset(overtakeAfter)
		}
		var confirmed <-chan struct{}
		if head != nil {
			confirmed = head.Done()
		}
		select {
		case r, ok := <-c.returns:
			if !ok {
				return
			}
			c.returned(&r)
		case <-confirmed:
			c.settleConfirmed(false)
		case <-c.added:
		case now := <-late.C:
			if head == nil {
				continue
			}
			late.Reset(overtakeAfter)
			c.settleConfirmed(true)
			switch {
			case retired && now.Sub(retiredAt) >= confirmTimeout:
				return
			case c.isBlocked(): // it confirms nothing then
				since = now
			case now.Sub(since) >= confirmTimeout:
				return
			case now.Sub(since) >= slowConfirm:
				c.spoil() // what it still confirms counts
			}
		}
	}
}

// isBlocked reports whether the broker blocks publishers.
func (c *publishChannel) isBlocked() bool {
	blocked, _ := c.p.Blocked()
	return blocked
}

// head returns the confirmation that is due next, nil if there is none.
func (c *publishChannel) head() (*amqp.DeferredConfirmation, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inFlight) == 0 {
		return nil, c.retired
	}
	return c.inFlight[0].confirm, c.retired
}

// drainReturns takes the returns that have come.
func (c *publishChannel) drainReturns() {
	for {
		select {
		case r, ok := <-c.returns:
			if !ok {
				return
			}
			c.returned(&r)
		default:
			return
		}
	}
}

// returned settles the oldest publish that the returned message can be.
func (c *publishChannel) returned(r *amqp.Return) {
	c.mu.Lock()
	var match *Publishing
	for _, item := range c.inFlight {
		if item.Key == r.RoutingKey && item.Msg.CorrelationId == r.CorrelationId && item.Msg.Type == r.Type &&
			item.state.Load() != settled {
			match = item
			break
		}
	}
	c.mu.Unlock()
	if match != nil {
		match.settle(Returned, nil)
	}
}

// settleConfirmed settles those at the head that are confirmed, or all that are
// if some were overtaken.
func (c *publishChannel) settleConfirmed(overtaken bool) {
	ready := c.confirmed(overtaken)
	// After the look at the confirms, and with those still in flight: the return
	// of each of them has come by now, while one that is confirmed later may have
	// a return that has not.
	c.drainReturns()
	c.mu.Lock()
	if overtaken {
		c.inFlight = slices.DeleteFunc(c.inFlight, func(item *Publishing) bool { return item.ready })
	} else if c.inFlight = c.inFlight[len(ready):]; len(c.inFlight) == 0 {
		c.inFlight = nil
	}
	room := c.full && len(c.inFlight) < c.window()
	c.mu.Unlock()
	if room {
		notify(c.progress)
	}
	for _, item := range ready {
		c.settleOne(item)
	}
}

// confirmed returns those at the head that are confirmed, or all that are.
func (c *publishChannel) confirmed(all bool) []*Publishing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !all {
		n := 0
		for n < len(c.inFlight) && c.isConfirmed(c.inFlight[n]) {
			n++
		}
		return c.inFlight[:n:n]
	}
	var ready []*Publishing
	for _, item := range c.inFlight {
		if item.ready = c.isConfirmed(item); item.ready {
			ready = append(ready, item)
		}
	}
	return ready
}

// isConfirmed reports whether the broker has answered. The library resolves what is
// open as not acked when a channel ends: that is no answer.
func (c *publishChannel) isConfirmed(item *Publishing) bool {
	if item.confirm == nil {
		return false
	}
	select {
	case <-item.confirm.Done():
		return item.confirm.Acked() || !c.ch.IsClosed()
	default:
		return false
	}
}

func (c *publishChannel) settleOne(item *Publishing) {
	if item.confirm.Acked() {
		item.settle(Acked, nil)
		return
	}
	// A channel that once was nacked may nack every later publish.
	c.spoil()
	item.settle(Nacked, nil)
}

// closedBy returns what the broker closed the channel with, nil if it did not.
func (c *publishChannel) closedBy() *amqp.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case e, ok := <-c.closes:
		if ok {
			c.closed = e
		}
	default:
	}
	return c.closed
}

// finish settles what is left when the channel ends, and closes it.
func (c *publishChannel) finish() {
	defer close(c.finished)
	c.spoil()
	// A publish that the writer is in the middle of fails now, or is answered.
	c.s.closeChannel(c.ch)
	for !c.isRetired() {
		<-c.added
	}
	c.settleConfirmed(true)
	c.settleLost(c.inFlight) // nobody else looks at it any more
	c.inFlight = nil
}

func (c *publishChannel) isRetired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.retired
}

// settleLost ends what the broker has not answered, in the order in which it was
// written. Those that it has refused are told so. Of those before the first of them
// nothing is known; those after it were never looked at, for the broker reads nothing
// more from a channel that it closes.
func (c *publishChannel) settleLost(items []*Publishing) {
	var reason error
	first := len(items)
	closed := c.closedBy()
	if closed != nil {
		reason = closed
		first = c.limits.learn(closed, items, c.p.single)
		c.found = first < len(items)
		if c.found && closed.Code == amqp.InternalError {
			c.s.explained.Store(true)
		}
	}
	for _, item := range items[:first] {
		item.settle(Lost, reason)
	}
	var unseen []*Publishing
	for i, item := range items[first:] {
		switch refusal := c.limits.check(&item.Msg); {
		case i == 0 && refusal == nil:
			item.settle(Refused, refused(closed))
		case refusal != nil:
			item.settle(Refused, refusal)
		case item.rewind():
			item.confirm, item.ready = nil, false
			unseen = append(unseen, item)
		}
	}
	c.p.putBack(unseen)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
