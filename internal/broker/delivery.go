package broker

import (
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// Delivery is one message handed to a consumer. It must end in exactly one of
// Ack, AckConfirmed, Abandon and Requeue.
type Delivery struct {
	*frames.Delivery
	acker *acker
}

// Message is the message in the library's form.
func (d *Delivery) Message() *amqp.Delivery { return &d.Delivery.Delivery }

// Ack acknowledges the message soon. It neither blocks nor fails: if the
// session has ended the broker delivers the message again. after, if not nil,
// is told once what came of it.
func (d *Delivery) Ack(after AckObserver) { d.acker.ack(d.DeliveryTag, after) }

// AckConfirmed is Ack for who must know that the broker will not deliver the message again:
// after is told once whether it has taken the acknowledgement. If not, it may or may
// not have. A node that dies in the same moment may forget what it has taken.
func (d *Delivery) AckConfirmed(after AckObserver) { d.acker.ackConfirmed(d.DeliveryTag, after) }

// Abandon leaves the message unacknowledged: the broker delivers it again when
// the channel closes.
func (d *Delivery) Abandon() { d.acker.abandon() }

// Requeue puts the message back into its queue soon: the broker delivers it again,
// to this consumer too if that still takes messages. A quorum queue counts it as
// a delivery that failed.
func (d *Delivery) Requeue() {
	d.acker.requeue(d.DeliveryTag)
	d.acker.abandon()
}

// Session is the one that the message came by.
func (d *Delivery) Session() *Session { return d.acker.s }

// Live reports whether the message can still be acknowledged.
func (d *Delivery) Live() bool { return d.acker.s.Err() == nil && !d.acker.ch.Closed() }
