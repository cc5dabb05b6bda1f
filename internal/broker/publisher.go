package broker

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// PublisherConfig configures a Publisher.
type PublisherConfig struct {
	Logger *slog.Logger
	// HoldWhenBlocked keeps messages queued while the broker blocks
	// publishers; otherwise they end as Unsent with ErrBlocked, and Publish
	// refuses more.
	HoldWhenBlocked bool
	// Held keeps messages queued until Release is called.
	Held bool
	// Paced has what waited for a connection go out at the pace of a
	// policy.Pacer.
	Paced bool
	// Single has one message under way at a time: one that is not confirmed holds up
	// the others for 30 s. If the broker ends the connection over one, that one ends as
	// Refused, and the link connects again at once.
	Single bool
	// Bundle, if set, returns one message that has all of msgs in it, of which there are
	// 2 to 16. Messages that have Publishing.Bundle set and are in line for the same queue
	// then go out in one. What becomes of it becomes of each of them; what the broker
	// refuses together is written again one by one.
	Bundle func(msgs []*amqp.Publishing) amqp.Publishing
	// Written, if set, is called after the bytes of a message went to the
	// socket. It may block: it is for tests that stop the world there.
	Written func(*Publishing)
}

// Publisher brings messages to the broker. Publish only queues them: one goroutine
// per session writes them, so that no caller waits for a socket. What was not written
// when a session ended is written on the next one.
type Publisher struct {
	*sendQueue

	logger  *slog.Logger
	single  bool
	encode  func(msgs []*amqp.Publishing) amqp.Publishing // PublisherConfig.Bundle
	written func(*Publishing)
	up      *Readiness

	// Of Serve alone:
	log     LogLimiter
	bundles uint64 // how many have been made
}

// NewPublisher returns a publisher to be put on a link.
func NewPublisher(cfg PublisherConfig) *Publisher {
	return &Publisher{
		sendQueue: newSendQueue(&cfg), logger: cfg.Logger, single: cfg.Single, encode: cfg.Bundle, written: cfg.Written,
		up: newReadiness(),
	}
}

// Up is set while the publisher has a channel.
func (p *Publisher) Up() *Readiness { return p.up }

// Serve implements Component: it keeps one channel in use, a new one after each
// nack, channel error, or publish that stayed unconfirmed for slowConfirm.
func (p *Publisher) Serve(ctx context.Context, s *Session) {
	var channels sync.WaitGroup
	defer channels.Wait()
	defer p.up.unset(nil)
	defer p.interrupted()
	limits := &limits{frame: s.conn.Config.FrameSize}
	for {
		c, err := newPublishChannel(p, s, limits)
		if err != nil {
			if !s.sleep(ctx, retryChannel) {
				return
			}
			continue
		}
		p.up.set()
		ended := p.write(ctx, s, c)
		if c.wire.Closed() { // not by this side: why is told in a moment
			select {
			case <-c.ended:
			case <-s.Done():
			}
		}
		channels.Go(c.finish)
		if ended {
			return
		}
		if p.single {
			<-c.finished // before anything goes out on another channel
		}
		e := c.closedBy()
		if e == nil || !e.Recover { // the session ends, or goes on with another channel
			continue
		}
		if left, ok := p.log.Allow(e); ok {
			p.logger.Warn("the broker has closed the channel that publishes; opening another", "error", e, "not_logged", left)
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

// write brings what is queued to the channel until the channel must be replaced, or,
// when it reports true, the session or ctx has ended.
func (p *Publisher) write(ctx context.Context, s *Session, c *publishChannel) (ended bool) {
	bundler := newBundler(p)
	for {
		// Let the callers that are ready to publish do so first: what they queue goes
		// out in the same write. Alone, this costs next to nothing.
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
		items = bundler.bundle(items)
		p.putBack(c.publish(items))
		select {
		case <-c.spoiled:
			return false
		case <-s.Done():
			return true
		default:
		}
	}
}
