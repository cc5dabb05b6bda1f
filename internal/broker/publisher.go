package broker

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/policy"
)

// Result is what became of one publish. Each publish gets exactly one.
type Result uint8

const (
	// Unsent: nothing of it was written to a connection, and nothing will be.
	Unsent Result = iota + 1
	// Acked: the broker has taken responsibility for it.
	Acked
	// Nacked: the broker said no. It may have enqueued it all the same.
	Nacked
	// Returned: no queue was bound for it, so nobody gets it.
	Returned
	// Lost: the connection or channel ended before the broker said anything;
	// it may have been enqueued.
	Lost
	// Refused: the broker does not take such a message, so nobody gets it. The
	// reason is a [*RefusalError].
	Refused
)

var resultNames = [...]string{
	Unsent: "unsent", Acked: "acked", Nacked: "nacked", Returned: "returned", Lost: "lost", Refused: "refused",
}

// String returns the result's name.
func (r Result) String() string { return resultNames[r] }

// Sink is told of one publish. Its methods are called on the publisher's
// goroutines and must not block.
type Sink interface {
	// Writing is called right before the message is written; it may change the
	// message, and it reports whether to write it at all. If not, the publish
	// ends as Unsent. It is called again if the message is to be written again,
	// because the broker closed the channel over another one and never looked at
	// this.
	Writing(now time.Time, msg *amqp.Publishing) bool
	// Settled is called once, with the end of the publish. reason is set for
	// Unsent and Refused, and for Lost if the broker told why it closed the
	// channel or connection.
	Settled(result Result, reason error)
}

// Publishing is one message on its way through the default exchange.
type Publishing struct {
	// Key is the queue.
	Key string
	// Mandatory asks the broker to return it if there is no such queue.
	Mandatory bool
	Msg       amqp.Publishing
	Sink      Sink

	state   atomic.Uint32
	confirm *amqp.DeferredConfirmation // guarded by the channel's mu; nil until written
	ready   bool                       // guarded by the channel's mu: it is confirmed and about to be settled
}

// The states of a Publishing.
const (
	queued uint32 = iota
	writing
	settled
)

// Withdraw takes the publishing back. It reports whether that was in time:
// then nothing of it was or will be written, and Settled is not called.
func (p *Publishing) Withdraw() bool { return p.state.CompareAndSwap(queued, settled) }

// rewind makes a publishing that was written one that is in line again, unless it
// has ended. Whoever calls it must know that the broker never looked at it.
func (p *Publishing) rewind() bool { return p.state.CompareAndSwap(writing, queued) }

// settle ends a publishing that was queued or being written.
func (p *Publishing) settle(result Result, reason error) {
	if p.state.Swap(settled) != settled {
		p.Sink.Settled(result, reason)
	}
}

// Errors of Publish.
var (
	ErrBlocked = errors.New("warren: the broker blocks publishers")
	ErrClosed  = errors.New("warren: the publisher is closed")
)

// Publisher brings messages to the broker. Publish only puts them in line: one
// goroutine per session writes them, so that no caller waits for a socket. What
// was not written when a session ended is written on the next one.
type Publisher struct {
	logger          *slog.Logger
	holdWhenBlocked bool
	single          bool
	written         func(*Publishing)
	log             Throttle // of Serve alone

	mu      sync.Mutex
	line    []*Publishing
	stale   int // withdrawn since the line was last cleared of them
	closed  bool
	held    bool
	blocked bool
	reason  string
	pace    *policy.Pacer // nil if it does not matter how fast the line goes out
	wake    chan struct{} // one token: something changed for the writer
	up      *Signal
}

// PublisherConfig configures a Publisher.
type PublisherConfig struct {
	Logger *slog.Logger
	// HoldWhenBlocked keeps messages in line while the broker blocks
	// publishers; otherwise they end as Unsent with ErrBlocked, and Publish
	// refuses more.
	HoldWhenBlocked bool
	// Held keeps messages in line until Release is called.
	Held bool
	// Paced has what waited for a connection go out at the pace of a
	// policy.Pacer.
	Paced bool
	// Single has one message under way at a time: one that is not confirmed holds up the
	// next for confirmPatience. If the broker ends the connection
	// over one, that one ends as Refused, and the link connects again at once.
	Single bool
	// Written, if set, is called after the bytes of a message went to the
	// socket. It may block: it is for tests that stop the world there.
	Written func(*Publishing)
}

// NewPublisher returns a publisher to be put on a link.
func NewPublisher(cfg PublisherConfig) *Publisher {
	p := &Publisher{
		logger: cfg.Logger, holdWhenBlocked: cfg.HoldWhenBlocked, single: cfg.Single, held: cfg.Held, written: cfg.Written,
		wake: make(chan struct{}, 1), up: newSignal(),
	}
	if cfg.Paced {
		p.pace = policy.NewPacer(time.Now())
	}
	return p
}

// Publish puts p in line. It never blocks. With an error Sink is not called.
func (p *Publisher) Publish(item *Publishing) error {
	p.mu.Lock()
	switch {
	case p.closed:
		p.mu.Unlock()
		return ErrClosed
	case p.blocked && !p.holdWhenBlocked:
		p.mu.Unlock()
		return ErrBlocked
	}
	p.line = append(p.line, item)
	if p.pace != nil {
		p.pace.Arrived()
	}
	p.mu.Unlock()
	p.poke()
	return nil
}

// Withdraw is the item's own Withdraw, for one that may be in line here: it
// keeps the line from filling with messages that nobody wants written any more,
// and their bodies, while there is no connection.
func (p *Publisher) Withdraw(item *Publishing) bool {
	if !item.Withdraw() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale++; p.stale > len(p.line)/2 {
		p.line = slices.DeleteFunc(p.line, func(item *Publishing) bool { return item.state.Load() == settled })
		p.stale = 0
	}
	return true
}

func (p *Publisher) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Hold keeps messages in line until Release is called.
func (p *Publisher) Hold() {
	p.mu.Lock()
	p.held = true
	p.interrupted()
	p.mu.Unlock()
}

// Release lets a publisher write that was made Held, or told to Hold.
func (p *Publisher) Release() {
	p.mu.Lock()
	p.held = false
	p.mu.Unlock()
	p.poke()
}

// Blocked reports whether the broker blocks publishers at present, and why.
func (p *Publisher) Blocked() (bool, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blocked, p.reason
}

func (p *Publisher) isBlocked() bool {
	blocked, _ := p.Blocked()
	return blocked
}

// Up is the publisher's readiness: raised while it has a channel.
func (p *Publisher) Up() *Signal { return p.up }

func (p *Publisher) setBlocked(blocked bool, reason string) {
	p.mu.Lock()
	p.blocked, p.reason = blocked, reason
	if blocked {
		p.interrupted()
	}
	var refused []*Publishing
	if blocked && !p.holdWhenBlocked {
		refused, p.line = p.line, nil
	}
	p.mu.Unlock()
	for _, item := range refused {
		item.settle(Unsent, ErrBlocked)
	}
	p.poke()
}

// Close refuses further messages and ends those in line as Unsent. The link
// must be stopped before or after.
func (p *Publisher) Close() {
	p.mu.Lock()
	p.closed = true
	left := p.line
	p.line = nil
	p.mu.Unlock()
	for _, item := range left {
		item.settle(Unsent, ErrClosed)
	}
}

// Serve implements Component: it keeps one channel in use, a new one after each
// nack, channel error, or publish that stayed unconfirmed for confirmDoubt.
func (p *Publisher) Serve(ctx context.Context, s *Session) {
	var channels sync.WaitGroup
	defer channels.Wait()
	defer p.up.lower()
	defer func() {
		p.mu.Lock()
		p.interrupted()
		p.mu.Unlock()
	}()
	bounds := &bounds{frame: s.conn.Config.FrameSize}
	for {
		c, err := p.openChannel(s, bounds)
		if err != nil {
			if !s.sleep(ctx, retryChannel) {
				return
			}
			continue
		}
		channels.Go(c.settleAll)
		p.up.raise()
		ended := p.write(ctx, s, c)
		c.retire()
		if ended {
			return
		}
		if p.single {
			<-c.finished // before anything goes out on another channel
		}
		e := c.closedBy()
		if e == nil || s.conn.IsClosed() {
			continue
		}
		if silent, ok := p.log.Allow(e); ok {
			p.logger.Warn("the broker has closed the channel that publishes; opening another", "error", e, "not_logged", silent)
		}
		// What closed this channel may close the next one as well, unless it is found.
		<-c.finished
		if !c.found && !s.sleep(ctx, retryChannel) {
			return
		}
	}
}

// retryChannel is the pause before a channel is opened again on a session that
// lives.
const retryChannel = 200 * time.Millisecond

// write brings the line to the channel until the channel must be replaced, or,
// when it reports true, the session or ctx has ended.
func (p *Publisher) write(ctx context.Context, s *Session, c *publishChannel) (ended bool) {
	for {
		// Let the callers that are ready to publish do so first: what they put in
		// line goes out in the same write. Alone, this costs next to nothing.
		runtime.Gosched()
		room := c.room()
		var items []*Publishing
		var later <-chan time.Time
		if room > 0 {
			var wait time.Duration
			if items, wait = p.take(room); wait > 0 {
				later = time.After(wait)
			}
		}
		if len(items) == 0 {
			select {
			case <-p.wake:
			case <-later:
			case <-c.progress:
			case <-c.spoiled:
				return false
			case <-s.Done():
				return true
			case <-ctx.Done():
				return true
			}
			continue
		}
		s.sock.Cork()
		done := c.publish(items)
		s.sock.Uncork()
		if p.written != nil {
			for _, item := range items[:done] {
				if item.confirm != nil { // set on this goroutine
					p.written(item)
				}
			}
		}
		p.putBack(items[done:])
		select {
		case <-c.spoiled:
			return false
		case <-s.Done():
			return true
		default:
		}
	}
}
