// Package broker keeps connections to RabbitMQ and what lives on them: a Link
// supervises one connection, a Publisher brings messages to the broker and says
// what became of each, a Consumer keeps a queue declared and consumed, a Prober
// counts the consumers of queues, and a Monitor follows how long one is.
//
// A message that is published passes a send queue and a publish channel. One that is
// consumed passes a stream, its workers and its acker.
//
// The library's own recovery is not used: an acknowledgement for a delivery of
// the connection before would settle another message. Here each connection is a
// Session of its own, and what belongs to a session dies with it.
package broker
