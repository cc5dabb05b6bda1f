package client

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/internal/wire"
)

// ackDelay is how long replies may be unacknowledged. One that the broker
// delivers again is dropped, so there is no hurry, and each acknowledgement
// costs both sides a write and a read. No prefetch bounds them: that is work for
// the broker, and only who knows the queue's random name can send more than this
// client has calls in flight.
const (
	ackDelay = 5 * time.Millisecond
	ackBatch = 128
)

// replyQueue is where the client's replies arrive.
type replyQueue struct {
	c        *Client
	consumer *broker.Consumer
	limits   wire.Limits

	arriving   atomic.Pointer[callstate.Replies]
	consumed   bool              // it has been; of the consumer's goroutine alone
	unreadable broker.LogLimiter // of handle alone, which runs once at a time

	mu      sync.Mutex
	queue   string
	session *broker.Session // the last one on which the queue was declared
}

func newReplyQueue(c *Client) *replyQueue {
	r := &replyQueue{c: c, limits: wire.DefaultLimits(), queue: replyQueueName()}
	r.limits.Body = c.cfg.MaxReply
	r.arriving.Store(&callstate.Replies{Cut: true})
	r.consumer = broker.NewConsumer(broker.ConsumerConfig{
		Name: "replies", Declare: r.declare, Inline: true, RisingPriority: true, AckDelay: ackDelay, AckBatch: ackBatch,
		Handle: r.handle, Consuming: func(string) { r.consuming() }, Ended: r.ended, Logger: c.cfg.Logger,
	})
	return r
}

// consuming lets requests out.
func (r *replyQueue) consuming() {
	var arriving callstate.Replies
	if r.consumed {
		arriving.Back = time.Now()
	}
	r.consumed = true
	r.arriving.Store(&arriving)
	r.c.publisher.Release()
}

// ended holds requests back while there is no queue for their replies. A queue
// that outlives its connection takes them meanwhile.
func (r *replyQueue) ended() {
	r.arriving.Store(&callstate.Replies{Cut: true})
	if r.c.cfg.ReplyQueue.Exclusive {
		r.c.publisher.Hold()
	}
}

// arrivals says whether replies can come in.
func (r *replyQueue) arrivals() callstate.Replies { return *r.arriving.Load() }

// replyQueues begins the names of reply queues, and of nothing else: a method's name has
// no colon. It is short, as these names travel four times with each call.
const replyQueues = "warren:"

func replyQueueName() string { return replyQueues + newID() }

// name is what requests carry as reply_to.
func (r *replyQueue) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queue
}

// declare makes the reply queue exist. One that has been declared before and
// is gone took its replies with it: calls must not wait for them.
func (r *replyQueue) declare(s *broker.Session) (string, error) {
	r.mu.Lock()
	before, declaredBefore := r.queue, r.session != nil
	r.mu.Unlock()
	queue := before
	exclusive := r.c.cfg.ReplyQueue.Exclusive
	lost := false
	if declaredBefore {
		exists, err := false, error(nil)
		if !exclusive {
			exists, err = broker.Exists(s, queue)
		}
		if err != nil {
			return "", err
		}
		if !exists {
			// A new name: the old queue may be down with its node, and what was
			// sent to it may come back with it.
			lost, queue = true, replyQueueName()
		}
	}
	d := broker.Declarer{Logger: r.c.cfg.Logger, Queue: broker.Queue{
		Name: queue, Type: broker.Classic, Durable: !exclusive, Exclusive: exclusive,
	}}
	if !exclusive {
		d.Queue.Expires = r.c.cfg.ReplyQueue.Expires
	}
	if _, err := d.Declare(s); err != nil {
		return "", err
	}
	r.mu.Lock()
	r.queue, r.session = queue, s
	r.mu.Unlock()
	select {
	case <-r.c.closing:
		// Close may have come too early to see this session.
		return "", errors.Join(errClosed(), broker.Delete(s, queue))
	default:
	}
	if lost {
		r.lost(before)
	}
	return queue, nil
}

// lost deals with the calls whose replies went to a queue that is gone.
func (r *replyQueue) lost(queue string) {
	calls := r.c.pending.all()
	if len(calls) > 0 {
		r.c.cfg.Logger.Warn("the reply queue is gone; calls in flight are sent again if they may be", "calls", len(calls))
	}
	for _, cl := range calls {
		cl.on(time.Now(), callstate.Event{Kind: callstate.ReplyQueueLost, Queue: queue})
	}
}

// handle takes a message in: one reply, or several together.
func (r *replyQueue) handle(d broker.Delivery) {
	switch why := d.Unreadable(); {
	case why != "":
		r.drop(why, d.CorrelationId)
	case wire.IsBundle(d.Type):
		r.unbundle(d.Message())
	default:
		r.take(time.Now(), d.Message())
	}
	d.Ack(nil)
}

// drop counts a message that may be anything.
func (r *replyQueue) drop(why, callID string) {
	r.c.counters.unreadable.Add(1)
	if silent, ok := r.unreadable.Allow(errors.New(why)); ok {
		r.c.cfg.Logger.Warn("a reply was dropped", "why", why, "call_id", callID[:min(len(callID), 128)], "not_logged", silent)
	}
}

// unbundle takes the replies of a bundle, each as if it had come alone.
func (r *replyQueue) unbundle(d *wire.Delivery) {
	replies, err := wire.DecodeBundle(d)
	if err != nil {
		r.drop(err.Error(), d.CorrelationId)
		return
	}
	now, n := time.Now(), uint64(0)
	for reply := range replies {
		r.take(now, reply)
		n++
	}
	r.c.counters.bundled.Add(n)
}

// take ends the call that a reply is for. A reply that nobody waits for is late, double
// or foreign: it is dropped and counted.
func (r *replyQueue) take(now time.Time, d *wire.Delivery) {
	cl := r.c.pending.get(d.CorrelationId)
	if cl == nil {
		r.c.counters.late.Add(1)
		return
	}
	limits := r.limits
	limits.Body = cmp.Or(cl.settings.maxReply, limits.Body)
	if cl.asks != nil {
		limits.Body = wire.ResolutionBytes(limits.Body)
	}
	reply, err := wire.DecodeReply(d, &cl.req, limits)
	if reply == nil && err == nil {
		if refusal := wire.RefusesVersion(d, &cl.req); refusal != nil {
			cl.refusedVersion(refusal)
		} else {
			r.c.counters.late.Add(1)
		}
		return
	}
	r.c.counters.replies.Add(1)
	e := callstate.Event{Kind: callstate.Answered, Reply: reply, Err: err}
	if err != nil {
		e.Attempt = err.Attempts
		err.Method, err.CallID, err.Issued = cl.req.Method, cl.req.CallID, cl.req.Issued
	} else {
		e.Attempt = reply.Attempts
	}
	cl.on(now, e)
}

// close deletes the queue, if there is a connection to do so.
func (r *replyQueue) close(ctx context.Context) {
	r.consumer.Drain()
	r.mu.Lock()
	queue, s := r.queue, r.session
	r.mu.Unlock()
	if s == nil || s.Err() != nil || r.c.cfg.ReplyQueue.Exclusive {
		return
	}
	_ = lifecycle.Wait(ctx, func() {
		if err := broker.Delete(s, queue); err != nil {
			r.c.cfg.Logger.Warn("the reply queue was not deleted; it will expire", "queue", queue, "error", err)
		}
	})
}
