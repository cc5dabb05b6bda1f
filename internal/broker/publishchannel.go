package broker

import (
	"errors"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// publishChannel is one channel in confirm mode. The publisher's goroutine writes to it
// until it is retired; what the broker answers comes in the order of the wire, on the
// goroutine that reads from the connection, and is settled there.
type publishChannel struct {
	s      *Session
	ch     *amqp.Channel
	wire   *frames.Channel
	p      *Publisher
	limits *limits

	// Of the publisher's goroutine alone:
	batch *frames.Batch
	items []*Publishing // that batch has

	finished  chan struct{} // closed when all is settled
	found     bool          // set before that: it is known what the broker closed the channel for
	spoiled   chan struct{} // closed when the channel must not be written to any more
	spoilOnce sync.Once
	progress  chan struct{} // one token: there is room again
	answered  chan struct{} // one token: nothing is unconfirmed, after the channel was retired
	ended     chan struct{} // closed after the last answer
	err       error         // why, set before that

	settling sync.Mutex // held while the reader's goroutine calls Sinks; taken before mu

	mu      sync.Mutex
	open    unconfirmed
	full    bool        // the writer waits for room
	retired bool        // nothing more will be written
	doubt   *time.Timer // nil before the first publish; see doubted
	doubts  bool        // doubt is running

	confirmed []*Publishing // by one confirm; of the reader's goroutine alone
}

func newPublishChannel(p *Publisher, s *Session, limits *limits) (*publishChannel, error) {
	c := &publishChannel{
		s: s, p: p, limits: limits,
		finished: make(chan struct{}),
		spoiled:  make(chan struct{}),
		progress: make(chan struct{}, 1),
		answered: make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	var err error
	if c.ch, c.wire, err = s.handled(c); err != nil {
		return nil, err
	}
	c.batch = c.wire.NewBatch()
	if err := s.do("select confirms", func() error { return c.ch.Confirm(false) }); err != nil {
		s.abandon(c.ch, err)
		return nil, err
	}
	return c, nil
}

func (c *publishChannel) spoil() { c.spoilOnce.Do(func() { close(c.spoiled) }) }

// window is how many publishes may be unconfirmed on one channel.
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
	room := c.window() - c.open.open
	c.full = room <= 0
	return room
}

// batchBytes is the size from which a batch is written before all is in it.
const batchBytes = 256 << 10

// publish writes the items in order. It returns those of which nothing was written here:
// they can be written elsewhere.
func (c *publishChannel) publish(items []*Publishing) (left []*Publishing) {
	now := time.Now()
	for i, item := range items {
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
		if err := c.batch.AppendPublish(item.Key, item.Mandatory, &item.Msg); err != nil {
			item.settle(Refused, &RefusalError{Kind: HeadersTooLarge, text: "warren: " + err.Error(), err: err})
			continue
		}
		c.items = append(c.items, item)
		if c.batch.Size() >= batchBytes {
			if left := c.write(now); left != nil {
				return append(left, items[i+1:]...)
			}
		}
	}
	return c.write(now)
}

// write writes the batch, and returns its messages, queued again, if nothing of it was
// written. The end of the connection tells what became of one that failed.
func (c *publishChannel) write(now time.Time) (left []*Publishing) {
	if len(c.items) == 0 {
		return nil
	}
	c.mu.Lock()
	for _, item := range c.items { // first: their confirms may come before the write returns
		item.written = now
		c.open.add(item)
	}
	c.watch()
	c.mu.Unlock()
	err := c.wire.Write(c.batch)
	switch {
	case errors.Is(err, frames.ErrClosed):
		c.spoil()
		c.mu.Lock()
		c.open.withdraw(len(c.items))
		c.mu.Unlock()
		for _, item := range c.items {
			item.rewind()
		}
		left = slices.Clone(c.items)
	case err != nil:
		c.spoil()
	}
	if left == nil && c.p.written != nil {
		for _, item := range c.items {
			item.each(c.p.written)
		}
	}
	clear(c.items)
	c.items = c.items[:0]
	return left
}

const (
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

// watch has the channel spoiled when a publish stays unconfirmed for slowConfirm. The
// caller holds mu.
func (c *publishChannel) watch() {
	switch {
	case c.doubts:
		return
	case c.doubt == nil:
		c.doubt = time.AfterFunc(slowConfirm, c.doubted)
	default:
		c.doubt.Reset(slowConfirm)
	}
	c.doubts = true
}

// doubted looks at the oldest publish, and again when that, or the next, would be late.
func (c *publishChannel) doubted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	waited := c.waited()
	switch {
	case c.retired || c.open.oldest() == nil:
		c.doubts = false
	case waited >= slowConfirm:
		c.spoil() // what it still confirms counts
	default:
		c.doubt.Reset(slowConfirm - waited)
	}
}

// waited is for how long the oldest publish could have been confirmed. While it blocks
// publishers the broker confirms nothing. The caller holds mu.
func (c *publishChannel) waited() time.Duration {
	oldest := c.open.oldest()
	if oldest == nil {
		return 0
	}
	return min(time.Since(oldest.written), c.p.unblockedFor())
}

// Returned implements frames.Handler: it settles the oldest publish that the returned
// message can be. The confirm follows.
func (c *publishChannel) Returned(r *frames.Return) {
	c.settling.Lock()
	defer c.settling.Unlock()
	c.mu.Lock()
	var match *Publishing
	for _, item := range c.open.items.waiting() {
		if item != nil && item.state.Load() != settled && item.Key == r.RoutingKey &&
			item.Msg.CorrelationId == r.CorrelationId && item.Msg.MessageId == r.MessageId && item.Msg.Type == r.Type {
			match = item
			break
		}
	}
	c.mu.Unlock()
	if match != nil {
		match.settle(Returned, nil)
	}
}

// Confirmed implements frames.Handler. Confirms of different queues may overtake one
// another.
func (c *publishChannel) Confirmed(tag uint64, multiple, ack bool) {
	c.settling.Lock()
	defer c.settling.Unlock()
	c.mu.Lock()
	c.confirmed = c.open.confirmed(tag, multiple, c.confirmed[:0])
	room := c.full && len(c.confirmed) > 0
	done := c.retired && c.open.open == 0
	c.mu.Unlock()
	if room {
		notify(c.progress)
	}
	result := Acked
	if !ack {
		// A channel that once was nacked may nack every later publish.
		c.spoil()
		result = Nacked
	}
	for _, item := range c.confirmed {
		item.settle(result, nil)
	}
	clear(c.confirmed)
	if done {
		notify(c.answered)
	}
}

// Ended implements frames.Handler.
func (c *publishChannel) Ended(err error) {
	c.err = err
	close(c.ended)
	c.spoil()
}

// Delivered and Canceled implement frames.Handler. Nothing is consumed on the channel.
func (c *publishChannel) Delivered(*frames.Delivery) {}
func (c *publishChannel) Canceled(string)            {}

// closedBy returns what the broker closed the channel with, nil if it did not.
func (c *publishChannel) closedBy() *amqp.Error {
	select {
	case <-c.ended:
		e, _ := errors.AsType[*amqp.Error](c.err)
		return e
	default:
		return nil
	}
}

// finish is for when nothing more will be written. It waits until the channel owes
// nothing, has ended, or does not confirm what it should; then it closes the channel and
// settles what is left.
func (c *publishChannel) finish() {
	defer close(c.finished)
	c.await()
	c.s.closeHandled(c.ch, c.wire)
	c.settling.Lock() // what is settled there has ended then, and no more follows
	c.mu.Lock()
	left := c.open.all()
	if c.doubt != nil {
		c.doubt.Stop()
	}
	c.mu.Unlock()
	c.settling.Unlock()
	c.settleLost(left)
}

// await waits for the broker's answers.
func (c *publishChannel) await() {
	began := time.Now()
	timer := time.NewTimer(confirmTimeout)
	defer timer.Stop()
	for {
		c.mu.Lock()
		c.retired = true
		left := confirmTimeout - max(c.waited(), time.Since(began))
		open := c.open.open
		c.mu.Unlock()
		if open == 0 || left <= 0 {
			return
		}
		timer.Reset(left)
		select {
		case <-timer.C:
		case <-c.answered:
		case <-c.ended:
			return
		}
	}
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
		if c.found && closed.Code == amqp.InternalError && !closed.Recover {
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
