// Package frames reads what a broker sends, frame by frame, beneath the AMQP library, and keeps from it the content
// headers that it cannot read.
//
// RabbitMQ delivers header tables on which the library ends the connection. The message then comes back, on every
// connection that follows, and nothing else is served any more. What can be put in words that the library knows is;
// any other header becomes one that says so, and the message is refused like any other that breaks a bound.
package frames
