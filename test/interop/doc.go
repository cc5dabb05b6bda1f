// Package interop holds the interoperability tests: programs that know nothing
// of Warren and follow RabbitMQ's classic request/reply recipe call Warren's
// servers and serve Warren's clients, and each other, over a real broker and over
// the in-process broker of test/amqptest, which must not differ for them.
//
// The programs are in peers/: Python with pika, Node.js with amqplib. A third
// peer, plain amqp091-go, is part of the tests. Each is a client and a server
// with options; peers/pika/tutorial_*.py are a pair without any guard, which a
// message that the recipe does not foresee ends with a traceback. peers/*/guarded.*
// are the opposite: clients with confirms, the mandatory flag, heartbeats and
// dead letters, which all print the same.
//
// scripts/deps.sh installs the interpreters and pika, "npm ci" in this folder
// installs amqplib. A test whose peer is missing fails and says so.
package interop
