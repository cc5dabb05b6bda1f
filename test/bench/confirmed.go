package bench

import (
	"context"
	"errors"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	errNoRoute = errors.New("the message was returned: no queue of that name")
	errNacked  = errors.New("the broker did not take the message")
)

// confirmedPublisher publishes mandatory messages on a channel of its own and
// tells what became of each. One goroutine reads returns and confirms: the
// broker sends a return before the confirm of its message, and only a single
// reader of both can keep that order.
type confirmedPublisher struct {
	ch       *amqp.Channel
	confirms <-chan amqp.Confirmation
	returns  <-chan amqp.Return

	// mu keeps the number of a message with its publish.
	mu   sync.Mutex
	open map[uint64]unconfirmed
}

type unconfirmed struct {
	id string // correlation ID: what tells the message in a return
	// settled gets nil once the broker has taken the message. It must not block.
	settled func(error)
}

// newConfirmedPublisher starts to read returns and confirms until the channel
// ends. Most is about how many messages will be open at a time.
func newConfirmedPublisher(ch *amqp.Channel, most int) (*confirmedPublisher, error) {
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	p := &confirmedPublisher{
		ch: ch,
		// A reader that is late may not stop the library's, which delivers everything else.
		confirms: ch.NotifyPublish(make(chan amqp.Confirmation, 2*most)),
		returns:  ch.NotifyReturn(make(chan amqp.Return, 2*most)),
		open:     make(map[uint64]unconfirmed),
	}
	go p.watch()
	return p, nil
}

// publish sends a message to a queue. It calls settled once unless it returns an
// error.
func (p *confirmedPublisher) publish(ctx context.Context, queue string, m amqp.Publishing, settled func(error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	confirm, err := p.ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, m)
	if err != nil {
		return err
	}
	p.open[confirm.DeliveryTag] = unconfirmed{id: m.CorrelationId, settled: settled}
	return nil
}

func (p *confirmedPublisher) watch() {
	returned := make(map[string]bool)
	for c := range p.confirms {
		p.takeReturns(returned)
		p.settle(c, returned)
	}
	p.abandon()
}

// takeReturns notes the returns that have come. That of a message is among them
// when its confirm is read.
func (p *confirmedPublisher) takeReturns(returned map[string]bool) {
	for {
		select {
		case r, ok := <-p.returns:
			if !ok {
				return
			}
			returned[r.CorrelationId] = true
		default:
			return
		}
	}
}

func (p *confirmedPublisher) settle(c amqp.Confirmation, returned map[string]bool) {
	p.mu.Lock()
	m, ok := p.open[c.DeliveryTag]
	delete(p.open, c.DeliveryTag)
	p.mu.Unlock()
	switch {
	case !ok:
	case returned[m.id]:
		delete(returned, m.id)
		m.settled(errNoRoute)
	case !c.Ack:
		m.settled(errNacked)
	default:
		m.settled(nil)
	}
}

// abandon settles what is open when the channel ends.
func (p *confirmedPublisher) abandon() {
	p.mu.Lock()
	open := p.open
	p.open = make(map[uint64]unconfirmed)
	p.mu.Unlock()
	for _, m := range open {
		m.settled(errClosed)
	}
}
