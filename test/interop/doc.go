// Package interop holds the interoperability tests: programs that know nothing
// of Warren and follow RabbitMQ's classic request/reply recipe call Warren's
// servers and serve Warren's clients, over a real broker.
//
// The programs are in peers/: Python with pika, Node.js with amqplib. A third
// peer, plain amqp091-go, is part of the tests. Each is a client and a server
// with options; peers/pika/tutorial_*.py are a pair without any guard, which a
// message that the recipe does not foresee ends with a traceback.
//
// scripts/deps.sh installs the interpreters and pika, "npm ci" in this folder
// installs amqplib. A test whose peer is missing fails and says so.
package interop
