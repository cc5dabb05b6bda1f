// Package redis runs private Redis servers for tests: real ones that can be killed,
// frozen, restarted, and made replicas and promoted, without touching any other server
// of the machine. Valkey serves where it is installed and Redis is not.
//
// Each [Server] has a loopback port, a password and a temporary folder of its own.
// Nothing outlives the process that started it: a watchdog ends the server even when
// that process is killed.
//
// A test package that needs a server writes
//
//	func TestMain(m *testing.M) { os.Exit(redis.Main(m)) }
//
// and its tests call [Shared] for a server that they share, each with a prefix of its
// own for its keys, or [New] for a server that they may break. Both fail the test, and
// never skip it, if Redis is not installed.
//
// The package links no driver: it works through redis-server and redis-cli. Servers run
// on Linux only; elsewhere the package compiles and Start says so.
package redis
