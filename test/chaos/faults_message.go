package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/workload"
)

// poisonPatience is how long a poisonous call may take to be parked.
const poisonPatience = 90 * time.Second

func (r *run) poison(context.Context, chance) error {
	number := int(r.poisons.Add(1))
	r.aside(func(ctx context.Context) { r.clients.Poison(ctx, number, poisonPatience) })
	return r.strike("poison", "server", "")
}

func (r *run) strange(context.Context, chance) error {
	r.aside(func(ctx context.Context) { r.clients.Strange(ctx, r.stranger) })
	return r.strike("stranger", "", "")
}

// unservedPatience is how long a call of a method that nobody serves may take.
const unservedPatience = 2 * time.Second

func (r *run) nobody(context.Context, chance) error {
	r.aside(func(ctx context.Context) { r.clients.Nobody(ctx, unservedPatience) })
	return r.strike("unserved", "", "")
}

// takenFor is how long requests are kept from the server, and takenAtMost how many.
const (
	takenFor    = 400 * time.Millisecond
	takenAtMost = 8
)

// requestTaker takes requests from the method's queue, as another consumer of it.
type requestTaker struct {
	channel  *amqp.Channel
	confirms chan amqp.Confirmation
	taken    []amqp.Delivery
	written  int
}

// takeRequests takes some requests, does something with them, and leaves: what it has not
// acknowledged goes back to the queue. That the broker is away, or goes, is no
// failure: the fault has not come about then.
func (r *run) takeRequests(ctx context.Context, name, target string, rng chance, do func(*requestTaker) error) error {
	return with(&r.taking, func() error {
		if err := r.strike(name, target, ""); err != nil {
			return err
		}
		conn, err := amqp.DialConfig(one(rng, r.nodes).URL(), amqp.Config{Heartbeat: workload.Heartbeat, Dial: amqp.DefaultDial(takenFor)})
		if err != nil {
			return nil
		}
		// A close in good order would wait for a broker that is frozen.
		defer func() { _ = conn.CloseDeadline(time.Now().Add(takenFor)) }()
		err = r.takeThrough(ctx, conn, do)
		if _, broken := errors.AsType[*amqp.Error](err); broken || errors.Is(err, errUnconfirmed) {
			return nil
		}
		if _, broken := errors.AsType[net.Error](err); broken {
			return nil
		}
		return err
	})
}

func (r *run) takeThrough(ctx context.Context, conn *amqp.Connection, do func(*requestTaker) error) (err error) {
	t := &requestTaker{confirms: make(chan amqp.Confirmation, 16*takenAtMost)}
	if t.channel, err = conn.Channel(); err != nil {
		return err
	}
	if err := t.channel.Qos(takenAtMost, 0, false); err != nil {
		return err
	}
	t.channel.NotifyPublish(t.confirms)
	if err := t.channel.Confirm(false); err != nil {
		return err
	}
	requests, err := t.channel.Consume(r.method(), "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for over := time.After(takenFor); len(t.taken) < takenAtMost; {
		select {
		case d, ok := <-requests:
			if !ok {
				return nil
			}
			t.taken = append(t.taken, d)
			continue
		case <-over:
		case <-ctx.Done():
		}
		break
	}
	return do(t)
}

// send publishes a message through the default exchange.
func (t *requestTaker) send(ctx context.Context, queue string, p amqp.Publishing) error {
	t.written++
	return t.channel.PublishWithContext(ctx, "", queue, false, false, p)
}

var errUnconfirmed = errors.New("chaos: the broker has not confirmed")

// confirmed waits until the broker has what was sent.
func (t *requestTaker) confirmed() error {
	for over := time.After(2 * time.Second); t.written > 0; t.written-- {
		select {
		case c, ok := <-t.confirms:
			if !ok || !c.Ack {
				return errUnconfirmed
			}
		case <-over:
			return errUnconfirmed
		}
	}
	return nil
}

// copied is a request as it came. Its time to live begins again, as with a broker
// that was slow.
func copied(d *amqp.Delivery) amqp.Publishing {
	return amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, UserId: "", AppId: d.AppId, Body: d.Body,
	}
}

// duplicate sends each request that it takes again, once or twice, and gives back
// the one that it took.
func (r *run) duplicate(ctx context.Context, rng chance) error {
	return r.takeRequests(ctx, "duplicate", "messages", rng, func(t *requestTaker) error {
		for i := range t.taken {
			for range 1 + rng.IntN(2) {
				p := copied(&t.taken[i])
				// The broker validates it: only that user's can be sent again.
				if p.UserId = t.taken[i].UserId; p.UserId != workload.User {
					break
				}
				if err := r.sendCopy(ctx, t, p); err != nil {
					return err
				}
			}
		}
		return t.confirmed()
	})
}

// sendCopy sends a copy of a request of the user's, beside the one that was taken.
func (r *run) sendCopy(ctx context.Context, t *requestTaker, p amqp.Publishing) error {
	note := history.Event{Kind: history.KindNote, Note: history.NoteCopied, Method: r.method(), CallID: p.CorrelationId}
	if err := r.log.Append(note); err != nil {
		return err
	}
	return t.send(ctx, r.method(), p)
}

// reorder gives requests back out of order, those that it can as new ones.
func (r *run) reorder(ctx context.Context, rng chance) error {
	return r.takeRequests(ctx, "reorder", "messages", rng, func(t *requestTaker) error {
		rng.Shuffle(len(t.taken), func(i, j int) { t.taken[i], t.taken[j] = t.taken[j], t.taken[i] })
		for i := range t.taken {
			d := &t.taken[i]
			if d.UserId != workload.User || rng.IntN(2) == 0 {
				if err := d.Nack(false, true); err != nil {
					return err
				}
				continue
			}
			p := copied(d)
			p.UserId = d.UserId
			if err := r.sendCopy(ctx, t, p); err != nil { // the broker may go before the one that was taken is acknowledged
				return err
			}
			if err := t.confirmed(); err != nil {
				return err
			}
			if err := d.Ack(false); err != nil {
				return err
			}
		}
		return nil
	})
}

// forge answers requests that it has seen with what a client can tell from its
// server's answers: those of another call, or none that can be read.
func (r *run) forge(ctx context.Context, rng chance) error {
	return r.takeRequests(ctx, "forge", "messages", rng, func(t *requestTaker) error {
		past := time.Now().Add(-time.Minute).UnixMilli()
		for i := range t.taken {
			d := &t.taken[i]
			if d.ReplyTo == "" {
				continue
			}
			forged := amqp.Publishing{ContentType: "application/json", CorrelationId: d.CorrelationId, Body: []byte(`{"echo":"forged"}`)}
			lie := func(id, typ string) error {
				p := forged
				p.CorrelationId, p.Type = id, typ
				return t.send(ctx, d.ReplyTo, p)
			}
			err := errors.Join(
				lie(d.CorrelationId, fmt.Sprintf("warren/1;k=reply;n=1;t=%d", past)),
				lie(d.CorrelationId, fmt.Sprintf("warren/1;k=reply;n=1;t=%d;c=not_found;o=not_executed", past)),
				lie(d.CorrelationId, "warren/1;k=reply;n=1;x=0"),
				lie(d.CorrelationId, "warren/1;k=call;n=1"),
				lie(d.CorrelationId, "warren/1;k=reply;n=0;c=;;o=executed"),
				lie(d.CorrelationId, "warren/9;k=reply;n=1"),
				lie(d.CorrelationId, "warren/2r"),
				lie(d.CorrelationId, "warren/2r;x0"),
				lie(d.CorrelationId, "warren/2r;x0;c5;on"),
				lie(d.CorrelationId, "warren/1;k=reply;n=1;x=0"),
				lie(d.CorrelationId, "warren/1;k=reply;n=1;x=0;c=not_found;o=not_executed"),
				lie(uuid.NewString(), "warren/1;k=reply;n=1"),
				lie("", ""),
			)
			if err != nil {
				return err
			}
		}
		return t.confirmed()
	})
}
