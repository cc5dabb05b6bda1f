// Package broker keeps connections to RabbitMQ and what lives on them: a Link
// supervises one connection, a Publisher brings messages to the broker and says
// what became of each, a Consumer keeps a queue declared and consumed, a Prober
// counts the consumers of queues.
//
// The library's own recovery is not used: an acknowledgement for a delivery of
// the connection before would settle another message. Here each connection is a
// Session of its own, and what belongs to a session dies with it.
package broker
