// Package codec is the wire format of AMQP 0-9-1 with RabbitMQ's extensions, for the broker in memory and for what stands
// beneath the AMQP library: frames, methods, content headers, tables and reply codes.
//
// Everything that decodes takes bytes from a peer that is not trusted: it never panics, never reads past its input, and
// takes time and memory in proportion to the input's length and the bounds stated here. Strings are bytes; no encoding
// is checked. What decodes without an error encodes again, to the same bytes where the input had the one form that this
// package writes.
//
// Functions are safe for concurrent use as long as the values that they are given are not changed meanwhile.
package codec
