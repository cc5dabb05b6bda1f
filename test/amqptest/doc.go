// Package amqptest is an AMQP 0-9-1 broker inside of a process, for tests: what
// httptest.Server is to HTTP. It behaves as RabbitMQ does, answers any client,
// can be looked into, and causes faults on purpose.
//
//	broker := amqptest.New(t, amqptest.Options{})
//	conn, err := amqp.Dial(broker.URL())
//
// A Broker listens on the loopback interface, on a port of its own; several can
// run in one process. Broker.Dial reaches one without any socket, by a pipe in
// memory, and with Options.Listen "none" that is the only way in: then a test
// can run in a testing/synctest bubble, where heartbeats, expiry and timeouts
// take no time.
//
// # What it is not
//
// It is for tests and development. It holds everything in memory, on one node,
// and its guarantees end with its process: what a durable queue survives is
// Restart.
//
// # Faults and the record
//
// Each method that passes between a client and the broker is an Event. Rules
// match events and do something to some of them: lose, delay, repeat or swap
// them, cut or close connections before or after them, leave a publish
// unconfirmed, restart the broker.
//
//	fault := broker.Inject(amqptest.Rule{
//		When: amqptest.When{Method: "basic.deliver", Queue: "orders"},
//		Nth:  3,
//		Do:   amqptest.SeverAfter(),
//	})
//
// Rules can also be written as lines of text, see Rule.String and ParseRules, so
// that schedules are logged, kept in files and replayed; and be drawn from a
// seed, see Draw and Options.Plan. What is deterministic is said at
// Broker.Inject.
//
// The last events are recorded: Broker.Events, Count and Wait look into them, and
// New prints the end of the record if the test fails.
//
// # Bounds
//
// A client that means harm, or has a defect, costs a bounded amount of memory:
// frames, tables, channels, bodies and what waits to be written are limited, and
// above Options.MemoryLimit publishers are blocked. Nothing is allocated on the
// word of a client alone.
//
// # Differences from RabbitMQ
//
//   - Transactions are refused with 540 NOT_IMPLEMENTED, which closes the
//     connection.
//   - The server's properties name another product and platform. The version and
//     the capabilities are those of RabbitMQ 3.10, since clients go by them.
//   - A log-in that is refused is refused at once; RabbitMQ waits for three
//     seconds. So it is with other failures before the connection is open.
//   - The 541 INTERNAL_ERROR over a content header that cannot be decoded says
//     what is wrong with it. RabbitMQ gives no text, names 505 if the weight is
//     not 0, and waits for more where a flag stands for no property.
//   - A body above the largest message size is refused when it is announced and
//     not when it has come.
//   - What one client has done is seen by all others at once. In RabbitMQ queues
//     are processes of their own, which hear of it a moment later: races between
//     them do not show here.
//   - A quorum queue without a delivery limit takes messages that are rejected
//     back at its front, as with a limit; RabbitMQ 3.10 appends them. There is no
//     default limit: RabbitMQ 4 has one of 20. When its single active consumer
//     goes, the next is that of the highest priority, in 3.10 the next that came.
//   - A message that is dead-lettered round and round between n queues without
//     delay is dropped where RabbitMQ drops it, after up to n! deaths; meanwhile
//     the virtual host does nothing else.
//   - Policies, streams, federation, the management API and clusters are
//     missing. Queue arguments of streams and of mirrored queues are refused or
//     ignored as by a node without them.
package amqptest
