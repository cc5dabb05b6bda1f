// Package frames stands between the AMQP library and the transport of a connection, and reads and writes the frames of
// messages itself. The library keeps what is rare: the handshake, channels, declarations, consumers and their end.
//
// On a [Channel] with a [Handler], what the broker delivers, returns and confirms goes to the handler, in the order of the
// wire, and a [Batch] is written between the library's own frames. Headers are decoded when they are asked for, within
// bounds, so that none that RabbitMQ lets through ends a connection; a broker that breaks the protocol does.
//
// On other channels messages go to the library, which ends the connection over header tables that RabbitMQ takes. What
// can be put in words that the library knows is; any other header becomes one that has the [Mark].
package frames
