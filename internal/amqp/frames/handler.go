package frames

import (
	amqp "github.com/rabbitmq/amqp091-go"
)

// Handler is told what the broker sends on one channel, in the order of the wire: returns precede the confirms of what
// is returned, and all precedes the end. Its methods are called one at a time by whoever reads from the connection,
// which stands still meanwhile: they must not block.
type Handler interface {
	// Delivered is told of a message for a consumer, whose tag it names. The delivery is the handler's. It may come
	// before the library's Consume has returned.
	Delivered(d *Delivery)
	// Returned is told of a mandatory message that no queue took.
	Returned(r *Return)
	// Confirmed is told that the broker has taken, or with ack false lost, the publish with the tag, or with multiple
	// all that it has not answered yet up to it. Tags count the publishes of the channel from 1. What is said of tags
	// above those that were written is not told; one that was answered before may come again.
	Confirmed(tag uint64, multiple, ack bool)
	// Canceled is told that the broker has ended a consumer. The library answers it.
	Canceled(consumer string)
	// Ended is called once, and is the last: nothing that was not answered until then will be. The error is an
	// *amqp.Error if the broker has closed the channel, whose Recover is set then, or the connection; ErrClosed if this
	// side has; and else what the connection ended with.
	Ended(err error)
}

// Return is a message that the broker has given back, without its headers and its body.
type Return = amqp.Return
