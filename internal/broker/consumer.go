package broker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/policy"
)

// ConsumerConfig configures a Consumer.
type ConsumerConfig struct {
	// Name is for logs.
	Name string
	// Hold, if set, makes the queue this session's to consume, or fails. It runs before
	// Declare.
	Hold func(s *Session) error
	// Declare makes the queue exist and returns its name. It runs before each
	// time the queue is consumed.
	Declare func(s *Session) (queue string, err error)
	// Prefetch is how many messages may be unacknowledged; 0 is no bound.
	Prefetch int
	// AckDelay is how long acknowledgements may wait to be written together with
	// others, while they are fewer than AckBatch. What is not written when the
	// connection ends is delivered again. Default: not at all.
	AckDelay time.Duration
	AckBatch int
	// Workers is how many messages are handled at a time, whatever happens to
	// connections. Each has a goroutine, which is started when it is needed.
	Workers int
	// RisingPriority gives each session's consumer a higher priority than the one
	// before: the dead connection's consumer then gets no share of the messages.
	RisingPriority bool
	// Handle deals with one message.
	Handle func(d Delivery)
	// Inline has Handle called, one message at a time, on the goroutine that reads from
	// the connection, which saves a hand-off. It must not block then, nor use the
	// connection but for the ends of a [Delivery]. Workers is not used.
	Inline bool
	// Consumed, if set, is told of each attempt to consume the queue that Declare has
	// declared: nil, or why it failed.
	Consumed func(error)
	// Consuming, if set, is called each time the queue is being consumed.
	Consuming func(queue string)
	// Ended, if set, is called each time it is not consumed any more.
	Ended  func()
	Logger *slog.Logger
}

// Consumer keeps a queue declared and consumed through sessions, channel errors
// and cancels by the broker.
type Consumer struct {
	cfg     ConsumerConfig
	workers *workers
	up      *Readiness

	// Of Serve alone:
	suspect bool // it may have ended the last session by what it declares or consumes
	log     LogLimiter

	mu   sync.Mutex
	flow flow
}

// flow is whether a consumer takes messages, and how many.
type flow struct {
	paused   bool
	drained  bool // for good
	prefetch int
	changed  chan struct{} // closed when another flow holds
}

// NewConsumer returns a consumer to be put on a link.
func NewConsumer(cfg ConsumerConfig) *Consumer {
	return &Consumer{
		cfg: cfg, workers: newWorkers(cfg.Workers, cfg.Inline, cfg.Handle), up: newReadiness(),
		flow: flow{prefetch: cfg.Prefetch, changed: make(chan struct{})},
	}
}

// Up is set while the queue is consumed.
func (c *Consumer) Up() *Readiness { return c.up }

var (
	// errCanceledByBroker says that the queue was deleted, or moved to another
	// node, under the consumer.
	errCanceledByBroker = errors.New("warren: the broker has cancelled the consumer")
	// errFlowChanged says that a stream ended because of Pause or Resume.
	errFlowChanged = errors.New("warren: the consumer takes another number of messages")
	// errDraining says that a stream ended because of Drain.
	errDraining = errors.New("warren: the consumer is draining")
)

const (
	// resumeFirst and resumeMost bound the waits before a queue is declared and
	// consumed again on a session that lives.
	resumeFirst = reconnectFirst
	resumeMost  = reconnectMost
	// deniedPause is the time between attempts to have what was denied.
	deniedPause = 30 * time.Second
	// channelMaxRetries is how often in a row a consumer may find no channel left
	// before that is final: others need one more while they begin.
	channelMaxRetries = 6
)

// Serve implements Component.
func (c *Consumer) Serve(ctx context.Context, s *Session) {
	var streams sync.WaitGroup
	defer streams.Wait()
	opening, full := false, 0
	defer func() { c.suspect = c.suspect || opening && isBrokersEnd(s.Err()) }()
	wait := policy.FullJitter(resumeFirst, resumeMost)
	for {
		flow := c.current()
		if flow.drained {
			return
		}
		if flow.paused {
			c.up.unset(nil)
			select {
			case <-flow.changed:
				continue
			case <-s.Done():
			case <-ctx.Done():
			}
			return
		}
		opening = true
		stream, err := c.open(ctx, s, flow)
		if err == nil {
			opening, c.suspect, full = false, false, 0
			wait.Reset()
			streams.Add(1)
			c.up.set()
			if c.cfg.Consuming != nil {
				c.cfg.Consuming(stream.queue)
			}
			err = stream.run(ctx, streams.Done)
			if c.cfg.Ended != nil {
				c.cfg.Ended()
			}
		}
		if ctx.Err() != nil {
			c.up.unset(nil)
			return
		}
		if errors.Is(err, amqp.ErrChannelMax) {
			if full++; full >= channelMaxRetries {
				err = &deniedError{"the broker permits no more channels on this connection (channel_max)", err}
			}
		}
		c.up.unset(err)
		if s.Err() != nil || c.current().drained {
			return
		}
		// A consumer that was cancelled is resumed at once; only a failure to
		// resume waits.
		if errors.Is(err, errCanceledByBroker) || errors.Is(err, errFlowChanged) {
			continue
		}
		if left, ok := c.log.Allow(err); ok {
			c.cfg.Logger.Warn("the queue is not consumed; trying again", "consumer", c.cfg.Name, "error", err, "not_logged", left)
		}
		pause := wait.NextBackOff()
		if _, is := errors.AsType[*deniedError](err); is {
			pause = deniedPause
		}
		if !s.sleep(ctx, pause) {
			return
		}
	}
}

// open begins to consume the queue. A broker that denies something may end the whole
// connection over it, and with it everything that works: RabbitMQ does so for a transient
// queue where those are not permitted (541), and for a channel over a user's limit (530).
// A consumer that may have ended the last session so declares on a connection of its own
// first. Consumers take turns with that: what is permitted to each may be denied to all.
func (c *Consumer) open(ctx context.Context, s *Session, flow flow) (*stream, error) {
	if !c.suspect {
		return newStream(c, s, flow)
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-s.Done():
		return nil, s.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	trial, err := s.another(ctx)
	if err == nil {
		if c.cfg.Hold != nil {
			_ = c.cfg.Hold(trial) // it may fail because the session has it
		}
		_, err = c.cfg.Declare(trial)
		if trial.conn.IsClosed() {
			<-trial.Done() // the session learns of it a moment later
		}
		end := trial.Err()
		trial.close()
		if err != nil && isBrokersEnd(end) {
			return nil, &deniedError{"the broker does not permit it, and ends the connection over it", end}
		}
	}
	// Any other failure shows again here, and harms nobody.
	return newStream(c, s, flow)
}

// Pause ends the flow of messages, in this session and those to come, until Resume.
// Messages that were fetched and are not being handled go back to the queue at
// once; those that are handled are acknowledged as ever. It does not wait.
func (c *Consumer) Pause() { c.change(flow{paused: true, prefetch: c.cfg.Prefetch}) }

// Resume goes on with that many unacknowledged messages at most, or as
// configured if prefetch is 0. A consumer that takes so many already goes on
// undisturbed. It does not wait.
func (c *Consumer) Resume(prefetch int) {
	if prefetch == 0 {
		prefetch = c.cfg.Prefetch
	}
	c.change(flow{prefetch: prefetch})
}

// Paused reports whether Pause was called, and Resume not since.
func (c *Consumer) Paused() bool { return c.current().paused }

// Drain ends the flow of messages for good: no further message is handled, and the
// broker is asked for no more. It does not wait.
func (c *Consumer) Drain() {
	c.workers.drain()
	c.change(flow{drained: true})
}

// Wait returns when no message is being handled any more, after Drain, or with ctx's
// error. It is for one goroutine at a time.
func (c *Consumer) Wait(ctx context.Context) error { return c.workers.wait(ctx) }

func (c *Consumer) change(to flow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := c.flow
	if from.drained || to.paused == from.paused && to.drained == from.drained && to.prefetch == from.prefetch {
		return
	}
	to.changed = make(chan struct{})
	c.flow = to
	close(from.changed)
}

func (c *Consumer) current() flow {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flow
}
