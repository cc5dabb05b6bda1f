// Package broker keeps connections to RabbitMQ and what lives on them: a Link
// supervises one connection, a Publisher brings messages to the broker and says
// what became of each, a Consumer keeps a queue declared and consumed, a Prober
// counts the consumers of queues, and a Monitor follows how long one is.
//
// A message that is published passes a send queue and a publish channel. One that is
// consumed passes a stream, the consumer's workers and the stream's acker. Both go past
// the library, by internal/amqp/frames: what the broker says of them is told on the
// goroutine that reads from the connection, in the order of the wire. The library has the
// rest: it opens, declares, consumes and closes.
//
// The library's own recovery is not used: an acknowledgement for a delivery of
// the connection before would settle another message. Here each connection is a
// Session of its own, and what belongs to a session dies with it.
package broker
