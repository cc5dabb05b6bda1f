package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/policy"
)

// ConsumerConfig configures a Consumer.
type ConsumerConfig struct {
	// Name is for logs.
	Name string
	// Declare makes the queue exist and returns its name. It runs before each
	// time the queue is consumed.
	Declare func(s *Session) (queue string, err error)
	// Prefetch is how many messages may be unacknowledged; 0 is no bound.
	Prefetch int
	// AckDelay is how long acknowledgements may wait to be told in one write
	// with others, while they are fewer than AckBatch. What is not told when the
	// connection ends is delivered again. Default: not at all.
	AckDelay time.Duration
	AckBatch int
	// Workers is how many goroutines call Handle, and thereby how many messages
	// are handled at a time, whatever happens to connections.
	Workers int
	// Rising gives each session's consumer a higher priority than the one
	// before: the dead connection's consumer then gets no share of the
	// messages.
	Rising bool
	// Handle deals with one message.
	Handle func(d Delivery)
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
	cfg   ConsumerConfig
	slots chan struct{} // one per message being handled
	up    *Signal

	suspect bool     // of having ended a session; of Serve alone
	log     throttle // of Serve alone

	mu       sync.Mutex
	draining chan struct{} // closed when no more messages are to be taken
	drained  bool          // draining is closed
	intake   intake
	waited   int // slots that Wait holds
}

// NewConsumer returns a consumer to be put on a link.
func NewConsumer(cfg ConsumerConfig) *Consumer {
	return &Consumer{
		cfg: cfg, slots: make(chan struct{}, cfg.Workers), up: newSignal(), draining: make(chan struct{}),
		intake: intake{prefetch: cfg.Prefetch, changed: make(chan struct{})},
	}
}

// Up is the consumer's readiness: raised while the queue is consumed.
func (c *Consumer) Up() *Signal { return c.up }

// Drain stops the intake: no further message is handled, and the broker is
// asked for no more. It does not wait.
func (c *Consumer) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.drained {
		c.drained = true
		close(c.draining)
	}
}

// Wait returns when no message is being handled any more, or with ctx's error.
// It takes the workers' slots and keeps them, so it is called after Drain, and
// by one goroutine at a time: again, if it failed.
func (c *Consumer) Wait(ctx context.Context) error {
	for ; c.waited < c.cfg.Workers; c.waited++ {
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Waits before a queue is declared and consumed again on a session that lives.
const (
	resumeFirst = reconnectFirst
	resumeMost  = reconnectMost
)

// Serve implements Component.
func (c *Consumer) Serve(ctx context.Context, s *Session) {
	var channels sync.WaitGroup
	defer channels.Wait()
	opening, full := false, 0
	defer func() { c.suspect = c.suspect || opening && isVerdict(s.Err()) }()
	wait := policy.FullJitter(resumeFirst, resumeMost)
	for {
		select {
		case <-c.draining:
			return
		default:
		}
		in := c.taking()
		if in.paused {
			c.up.lower()
			if !c.waitFor(ctx, s, in.changed) {
				return
			}
			continue
		}
		open := c.open
		if c.suspect {
			open = func(s *Session, in intake) (*stream, error) { return c.tryAside(ctx, s, in) }
		}
		opening = true
		stream, err := open(s, in)
		if err == nil {
			opening, c.suspect, full = false, false, 0
			wait.Reset()
			channels.Add(1)
			c.up.raise()
			if c.cfg.Consuming != nil {
				c.cfg.Consuming(stream.queue)
			}
			err = stream.follow(ctx, channels.Done)
			if c.cfg.Ended != nil {
				c.cfg.Ended()
			}
		}
		if ctx.Err() != nil {
			c.up.lower()
			return
		}
		if errors.Is(err, amqp.ErrChannelMax) {
			if full++; full >= mostFull {
				err = &deniedError{"the broker permits no more channels on this connection (channel_max)", err}
			}
		}
		c.up.fail(err)
		select {
		case <-s.Done():
			return
		case <-c.draining:
			return
		default:
		}
		// A consumer that was cancelled is resumed at once; only a failure to
		// resume waits.
		if errors.Is(err, errCanceledByBroker) || errors.Is(err, errIntakeChanged) {
			continue
		}
		if silent, ok := c.log.allow(err); ok {
			c.cfg.Logger.Warn("the queue is not consumed; trying again", "consumer", c.cfg.Name, "error", err, "not_logged", silent)
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

// stream is one channel on which the queue is consumed.
type stream struct {
	c          *Consumer
	s          *Session
	ch         *amqp.Channel
	acker      *acker
	in         intake
	queue, tag string
	deliveries <-chan amqp.Delivery
	cancels    chan string
	closes     chan *amqp.Error
}

func (c *Consumer) open(s *Session, in intake) (*stream, error) {
	queue, err := c.cfg.Declare(s)
	if err != nil {
		return nil, err
	}
	ch, err := s.channel()
	if err != nil {
		return nil, err
	}
	st := &stream{
		c: c, s: s, ch: ch, in: in, acker: newAcker(s, ch, in.prefetch, c.cfg.AckDelay, c.cfg.AckBatch), queue: queue, tag: newTag(queue),
		cancels: ch.NotifyCancel(make(chan string, 1)),
		closes:  ch.NotifyClose(make(chan *amqp.Error, 1)),
	}
	err = s.do("consume "+queue, func() error {
		if err := ch.Qos(in.prefetch, 0, false); err != nil {
			return err
		}
		var args amqp.Table
		if c.cfg.Rising {
			args = amqp.Table{"x-priority": int32(s.Number)}
		}
		var err error
		st.deliveries, err = ch.Consume(queue, st.tag, false, false, false, false, args)
		return err
	})
	if c.cfg.Consumed != nil {
		c.cfg.Consumed(err)
	}
	if err != nil {
		s.abandon(ch, err)
		return nil, cure(s, queue, err)
	}
	return st, nil
}

// newTag returns a consumer's tag, which names the queue to who reads the log or the
// broker's list of consumers.
func newTag(queue string) string {
	return "warren-" + uuid.NewString() + "-" + queue[:min(len(queue), 200)]
}

// errCanceledByBroker says that the queue was deleted, or moved to another
// node, under the consumer.
var errCanceledByBroker = errors.New("warren: the broker has cancelled the consumer")

// follow hands messages out until the stream ends, and says why it did. done is
// called later, when what was handed out has ended too.
func (st *stream) follow(ctx context.Context, done func()) error {
	go st.acker.run()
	stopped := make(chan struct{})
	for range st.c.cfg.Workers {
		go st.work(stopped)
	}
	var err error
	cancel := false
	select {
	case e := <-st.closes:
		err = channelEnded(e)
	case _, ok := <-st.cancels:
		if err = errCanceledByBroker; !ok { // the end of the channel ends both
			err = channelEnded(<-st.closes)
		}
	case <-st.s.Done():
		err = st.s.Err()
	case <-st.c.draining:
		err, cancel = errors.New("warren: the consumer is draining"), true
	case <-st.in.changed:
		err = errIntakeChanged
	case <-ctx.Done():
		err = ctx.Err()
	}
	close(stopped)
	if cancel {
		// Without a wait for the answer: messages on their way go back when the
		// channel closes.
		_ = st.ch.Cancel(st.tag, true)
	}
	go func() {
		defer done()
		if errors.Is(err, errIntakeChanged) {
			st.giveBack()
		}
		st.retire(ctx)
	}()
	return err
}

// errChannelEnded says that a queue that was consumed is not any more. Whatever the
// broker says with it, the next attempt may succeed.
var errChannelEnded = errors.New("warren: the channel has ended")

func channelEnded(e *amqp.Error) error {
	if e == nil {
		return errChannelEnded
	}
	return fmt.Errorf("%w: %w", errChannelEnded, e)
}

// work handles messages one at a time. The workers share the library's channel
// of deliveries, which saves a hand-off for each message.
func (st *stream) work(stopped chan struct{}) {
	handling := false
	defer func() {
		if handling {
			// The handler ended the goroutine (runtime.Goexit, as t.FailNow does).
			<-st.c.slots
			go st.work(stopped)
		}
	}()
	for {
		// The slot bounds the handlers of this consumer over all its streams.
		select {
		case st.c.slots <- struct{}{}:
		case <-stopped:
			return
		}
		select {
		case d, ok := <-st.deliveries:
			if !ok {
				<-st.c.slots
				return
			}
			select {
			case <-stopped:
				<-st.c.slots
				if st.in.over() {
					st.acker.putBack(d.DeliveryTag)
				}
				return // not handled: else it goes back when the channel closes
			default:
			}
			st.acker.take()
			handling = true
			st.c.cfg.Handle(Delivery{d, st.acker})
			handling = false
			<-st.c.slots
		case <-stopped:
			<-st.c.slots
			return
		}
	}
}

// retire closes the channel once everything that was handed out on it has been
// acknowledged, or cannot be any more.
func (st *stream) retire(ctx context.Context) {
	for st.acker.outstanding() > 0 {
		select {
		case <-st.acker.idle:
		case <-st.s.Done():
			// A handler that is still at work must not hold up the next session.
			st.acker.stop()
			return
		case <-ctx.Done():
			// The link stops: what is unfinished goes back to the queue now.
			st.close()
			return
		}
	}
	st.close()
}

func (st *stream) close() {
	st.acker.stop()
	st.s.closeChannel(st.ch)
}
