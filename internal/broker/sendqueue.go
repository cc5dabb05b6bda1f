package broker

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/warren-rpc/warren/internal/policy"
)

// Errors of Publish.
var (
	ErrBlocked = errors.New("warren: the broker blocks publishers")
	ErrClosed  = errors.New("warren: the publisher is closed")
)

// sendQueue holds messages until they are written, in their order. It outlives sessions.
type sendQueue struct {
	holdWhenBlocked bool
	wake            chan struct{} // one token: something changed for the writer

	mu      sync.Mutex
	items   []*Publishing
	stale   int // withdrawn since the queue was last cleared of them
	closed  bool
	held    bool
	blocked bool
	reason  string
	freed   time.Time     // when the broker last ceased to block publishers; zero if it never did
	pace    *policy.Pacer // nil if it does not matter how fast messages go out
}

func newSendQueue(cfg *PublisherConfig) *sendQueue {
	q := &sendQueue{holdWhenBlocked: cfg.HoldWhenBlocked, held: cfg.Held, wake: make(chan struct{}, 1)}
	if cfg.Paced {
		q.pace = policy.NewPacer(time.Now())
	}
	return q
}

// Publish queues a message, unless it was withdrawn before. It never blocks. With an
// error Sink is not called.
func (q *sendQueue) Publish(item *Publishing) error {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return ErrClosed
	case q.blocked && !q.holdWhenBlocked:
		q.mu.Unlock()
		return ErrBlocked
	case item.state.Load() == settled:
		q.mu.Unlock()
		return nil
	}
	q.items = append(q.items, item)
	if q.pace != nil {
		q.pace.Arrived()
	}
	q.mu.Unlock()
	notify(q.wake)
	return nil
}

// Withdraw is the item's own Withdraw, for one that may be queued here: it keeps the
// queue from filling with messages that nobody wants written any more, and their bodies,
// while there is no connection.
func (q *sendQueue) Withdraw(item *Publishing) bool {
	if !item.Withdraw() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stale++; q.stale > len(q.items)/2 {
		q.items = slices.DeleteFunc(q.items, func(item *Publishing) bool { return item.state.Load() == settled })
		q.stale = 0
	}
	return true
}

// Hold keeps messages queued until Release is called.
func (q *sendQueue) Hold() {
	q.mu.Lock()
	q.held = true
	q.interruptPace()
	q.mu.Unlock()
}

// Release lets a publisher write that was made Held, or told to Hold.
func (q *sendQueue) Release() {
	q.mu.Lock()
	q.held = false
	q.mu.Unlock()
	notify(q.wake)
}

// Blocked reports whether the broker blocks publishers at present, and why.
func (q *sendQueue) Blocked() (blocked bool, reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.blocked, q.reason
}

// unblockedFor is for how long the broker has not blocked publishers.
func (q *sendQueue) unblockedFor() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.blocked {
		return 0
	}
	return time.Since(q.freed)
}

func (q *sendQueue) setBlocked(blocked bool, reason string) {
	q.mu.Lock()
	if q.blocked && !blocked {
		q.freed = time.Now()
	}
	q.blocked, q.reason = blocked, reason
	if blocked {
		q.interruptPace()
	}
	var refused []*Publishing
	if blocked && !q.holdWhenBlocked {
		refused, q.items = q.items, nil
	}
	q.mu.Unlock()
	for _, item := range refused {
		item.settle(Unsent, ErrBlocked)
	}
	notify(q.wake)
}

// Close refuses further messages and ends those that are queued as Unsent. The link
// must be stopped before or after.
func (q *sendQueue) Close() {
	q.mu.Lock()
	q.closed = true
	left := q.items
	q.items = nil
	q.mu.Unlock()
	for _, item := range left {
		item.settle(Unsent, ErrClosed)
	}
}

// interrupted notes that nothing goes out for now.
func (q *sendQueue) interrupted() {
	q.mu.Lock()
	q.interruptPace()
	q.mu.Unlock()
}

// interruptPace is interrupted for who holds mu.
func (q *sendQueue) interruptPace() {
	if q.pace != nil {
		q.pace.Interrupted(time.Now())
	}
}

// writeBatch is how many messages are written at once.
const writeBatch = 256

// take returns the next messages to write, nil if there are none or they are
// held back. With a wait above 0 it has some after that time.
func (q *sendQueue) take(most int) (items []*Publishing, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held || q.blocked {
		return nil, 0
	}
	n := len(q.items)
	if q.pace != nil {
		var allowed int
		if allowed, wait = q.pace.Take(time.Now(), n); allowed < n {
			n = q.first(allowed)
		}
	}
	if n = min(n, writeBatch, most); n == 0 {
		return nil, wait
	}
	items = q.items[:n:n]
	if q.items = q.items[n:]; len(q.items) == 0 {
		q.items = nil
	}
	return items, wait
}

// first returns how much of the queue has n messages that are still wanted. The
// caller holds mu.
func (q *sendQueue) first(n int) int {
	for i, item := range q.items {
		if item.state.Load() == settled {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return len(q.items)
}

// putBack puts messages that were taken and that no broker has seen back to the front.
func (q *sendQueue) putBack(items []*Publishing) {
	if len(items) == 0 {
		return
	}
	items = unbundled(items)
	q.mu.Lock()
	var refusal error
	switch {
	case q.closed:
		refusal = ErrClosed
	case q.blocked && !q.holdWhenBlocked:
		refusal = ErrBlocked
	default:
		q.items = append(slices.Clip(items), q.items...)
	}
	q.mu.Unlock()
	notify(q.wake)
	if refusal != nil {
		for _, item := range items {
			item.settle(Unsent, refusal)
		}
	}
}
