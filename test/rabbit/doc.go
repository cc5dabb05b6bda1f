// Package rabbit runs private RabbitMQ nodes for tests, demonstrations and
// benchmarks: real brokers that can be killed, frozen, restarted and put under
// alarm without touching any other broker of the machine.
//
// Each [Node] has loopback ports, an epmd, an Erlang cookie, a name and a
// temporary folder of its own, so any number of them run side by side, also
// from several test processes at once. Nothing outlives the process that
// started it: a watchdog ends the node even when that process is killed.
//
// A test package that needs a broker writes
//
//	func TestMain(m *testing.M) { os.Exit(rabbit.Main(m)) }
//
// and its tests call [VHost] for a throwaway virtual host on a node that they
// share, or [New] for a node that they may break. Both fail the test, and never
// skip it, if no broker can be had: a green run means that a broker was there.
//
// Nodes run on Linux only, with the rabbitmq-server of the distribution;
// elsewhere the package compiles and Start says so.
package rabbit
