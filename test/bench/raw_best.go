package bench

import (
	"context"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The promises of raw-guarantees at the least cost that could be found on the
// library. Writes are gathered and reads go ahead; confirms are looked at in the
// order of the publishes, by one goroutine that wakes once for many; requests are
// acked many at a time; the server's one loop replies to what it reads, since an
// echo needs no workers. What leaves out a promise is not here.
var (
	rawBest = variant{
		name:    "raw-best",
		serve:   bestServer(amqp.QueueTypeClassic),
		connect: connectBest(amqp.Transient),
	}

	rawBestQuorum = variant{
		name:    "raw-best-quorum",
		quorum:  true,
		serve:   bestServer(amqp.QueueTypeQuorum),
		connect: connectBest(amqp.Persistent),
	}
)

// bestConsumer is a consumer tag, which is in every delivery. The library's own
// would hold the program's path.
const bestConsumer = "c"

// returnsHeld is how many returns may wait for who reads them. More make the
// library's reader wait, which is no harm: an awaitConfirm reads them.
const returnsHeld = 64

// orderedPublisher publishes mandatory messages whose confirms one goroutine
// awaits, in about the order of the publishes.
type orderedPublisher struct {
	ch       *amqp.Channel
	returns  <-chan amqp.Return
	returned func(amqp.Return)
}

// newOrderedPublisher makes the channel confirm. Returned is called by awaitConfirm.
func newOrderedPublisher(ch *amqp.Channel, returned func(amqp.Return)) (*orderedPublisher, error) {
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	returns := ch.NotifyReturn(make(chan amqp.Return, returnsHeld))
	return &orderedPublisher{ch: ch, returns: returns, returned: returned}, nil
}

func (p *orderedPublisher) publish(queue string, m amqp.Publishing) (*amqp.DeferredConfirmation, error) {
	return p.ch.PublishWithDeferredConfirm("", queue, true, false, m)
}

// awaitConfirm returns whether the broker took a message, and false if the
// channel ended first. The broker sends a return before the confirm of its
// message and the library passes them on in that order, so that the message's
// return, if any, has been passed to returned by then.
func (p *orderedPublisher) awaitConfirm(c *amqp.DeferredConfirmation) bool {
	for confirmed := false; !confirmed; {
		select {
		case <-c.Done():
			confirmed = true
		case r, ok := <-p.returns:
			p.take(r, ok)
		}
	}
	for len(p.returns) > 0 {
		r, ok := <-p.returns
		p.take(r, ok)
	}
	return c.Acked()
}

func (p *orderedPublisher) take(r amqp.Return, ok bool) {
	if !ok {
		p.returns = nil // the channel has ended
		return
	}
	p.returned(r)
}

func bestServer(queueType string) func(context.Context, spec, func()) error {
	return func(ctx context.Context, s spec, ready func()) error {
		conn, ch, err := dialGatheringChannel(s.URL)
		if err != nil {
			return err
		}
		defer conn.Close()
		out, outCh, err := dialGatheringChannel(s.URL)
		if err != nil {
			return err
		}
		defer out.Close()

		// A request whose caller is gone is done too.
		replies, err := newOrderedPublisher(outCh, func(amqp.Return) {})
		if err != nil {
			return err
		}
		if err := declareQueue(ch, s.Queue, queueType); err != nil {
			return err
		}
		if err := ch.Qos(prefetch, 0, false); err != nil {
			return err
		}
		requests, err := ch.Consume(s.Queue, bestConsumer, false, false, false, false, nil)
		if err != nil {
			return err
		}

		// There are never more than the prefetch.
		answered := make(chan answered, prefetch)
		acked := make(chan struct{})
		go func() {
			defer close(acked)
			ackInBatches(ch, replies, answered)
		}()
		defer func() {
			_ = out.Close() // ends what is awaited
			close(answered)
			<-acked
		}()
		ready()
		return eachRequest(ctx, conn, requests, 1, func(d amqp.Delivery) error {
			return replyInOrder(replies, d, answered)
		})
	}
}

// answered is a request whose reply has been published.
type answered struct {
	request uint64 // its delivery tag
	reply   *amqp.DeferredConfirmation
}

func replyInOrder(replies *orderedPublisher, d amqp.Delivery, to chan<- answered) error {
	confirm, err := replies.publish(d.ReplyTo, amqp.Publishing{
		CorrelationId: d.CorrelationId,
		Body:          d.Body,
	})
	if err != nil {
		return err
	}
	to <- answered{request: d.DeliveryTag, reply: confirm}
	return nil
}

// ackBatch is the most requests that are acked at a time.
const ackBatch = 64

// ackInBatches acks requests, which come in the order of their delivery, once
// their replies are confirmed: many together while there are more in line. It
// returns when there are no more to come.
func ackInBatches(ch *amqp.Channel, replies *orderedPublisher, line <-chan answered) {
	batch, last := 0, uint64(0)
	ack := func() {
		if batch > 0 {
			_ = ch.Ack(last, true)
			batch = 0
		}
	}
	for {
		var next answered
		var ok bool
		select {
		case next, ok = <-line:
		default:
			ack()
			next, ok = <-line
		}
		switch {
		case !ok:
			ack()
			return
		case replies.awaitConfirm(next.reply):
			last = next.request
			if batch++; batch == ackBatch {
				ack()
			}
		default:
			// The reply may be lost: the request is to be handed out again. A later ack
			// of many may not include it.
			ack()
			_ = ch.Nack(next.request, false, true)
		}
	}
}

type bestCaller struct {
	in, out  *amqp.Connection
	requests *orderedPublisher
	sent     chan sent
	mode     uint8
	queue    string
	replyTo  string
	*waiters
}

// sent is a published request.
type sent struct {
	id      string
	confirm *amqp.DeferredConfirmation
}

func connectBest(mode uint8) func(context.Context, spec) (caller, error) {
	return func(_ context.Context, s spec) (_ caller, err error) {
		in, inCh, err := dialGatheringChannel(s.URL)
		if err != nil {
			return nil, err
		}
		out, outCh, err := dialGatheringChannel(s.URL)
		if err != nil {
			_ = in.Close()
			return nil, err
		}
		c := &bestCaller{
			in: in, out: out, mode: mode, queue: s.Queue,
			// As many wait for a confirm, and some have been answered before theirs.
			sent: make(chan sent, 2*s.Inflight), waiters: newWaiters(),
		}
		go c.watch()
		defer func() {
			if err != nil {
				_ = c.close()
			}
		}()

		c.requests, err = newOrderedPublisher(outCh, func(r amqp.Return) {
			c.settle(r.CorrelationId, answer{err: errNoRoute})
		})
		if err != nil {
			return nil, err
		}
		replyTo, err := inCh.QueueDeclare("", false, true, true, false, nil)
		if err != nil {
			return nil, err
		}
		c.replyTo = replyTo.Name
		replies, err := inCh.Consume(c.replyTo, bestConsumer, true, true, false, false, nil)
		if err != nil {
			return nil, err
		}
		go c.settleAll(replies)
		return c, nil
	}
}

// call returns with the reply, which may come before the confirm and makes it
// meaningless; a return or a nack ends the call at once.
func (c *bestCaller) call(ctx context.Context, body []byte) ([]byte, error) {
	id, answers, err := c.begin()
	if err != nil {
		return nil, err
	}
	confirm, err := c.requests.publish(c.queue, amqp.Publishing{
		DeliveryMode:  c.mode,
		CorrelationId: id,
		ReplyTo:       c.replyTo,
		Body:          body,
	})
	if err != nil {
		c.settle(id, answer{err: err})
	} else {
		c.sent <- sent{id: id, confirm: confirm}
	}
	return c.await(ctx, id, answers)
}

// watch ends the calls whose requests the broker does not take.
func (c *bestCaller) watch() {
	for m := range c.sent {
		if !c.requests.awaitConfirm(m.confirm) {
			c.settle(m.id, answer{err: errNacked})
		}
	}
}

func (c *bestCaller) close() error {
	err := errors.Join(c.out.Close(), c.in.Close())
	close(c.sent)
	return err
}
