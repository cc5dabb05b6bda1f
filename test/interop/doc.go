// Package interop holds the interoperability tests: programs that know nothing
// of Warren and follow RabbitMQ's classic request/reply recipe call Warren's
// servers and serve Warren's clients, and each other, over a real broker and over
// the in-process broker of test/amqptest, which must not differ for them.
//
// The programs are in peers/, a folder for each library, and library_test.go has
// a row for each: Python with pika, Node.js with amqplib, Ruby with Bunny, PHP
// with php-amqplib, Perl with AnyEvent::RabbitMQ, C with librabbitmq, Erlang with
// amqp_client. Plain amqp091-go is part of the tests. Each has a client and a
// server, which take the same options, --name=value, and print the same:
//
//   - client: --url, --queue, --body-file, --correlation-id, --direct-reply-to (in
//     place of an exclusive queue). It makes one call and prints the reply as a
//     JSON object: type, content_type, correlation_id, headers, body in base64.
//   - server: --url, --queue, --queue-type (quorum, classic, transient), --mode
//     (fib, echo, email), --replies, --hold (before-reply, before-ack: stops there
//     with the first request). It takes one request at a time, acknowledges after
//     the reply, and prints an event per line: ready, request, replied, acked.
//
// peers/reference is a peer of Warren's, and peers/reference_v1 what it was while there
// was version 1 of the wire alone, with the modules that have not changed since.
//
// So a new language is a folder with these two and a row. amqp-tools, which can
// only call, and in its own way, is called by peers/amqp-tools/call.sh.
//
// Every library is before and behind the tool's processes in everypeer_test.go;
// the others have every case with pika, amqplib and amqp091-go.
// peers/pika/tutorial_*.py are a pair without any guard, which a message that the
// recipe does not foresee ends with a traceback. peers/*/guarded.* are the
// opposite: clients with confirms, the mandatory flag, heartbeats and dead
// letters, which all print the same.
//
// scripts/deps.sh installs the languages and their libraries, "npm ci" in this
// folder installs amqplib. A test whose peer is missing fails and says what gets
// it. "make test-interop" runs every library and prints what was found.
package interop
