// Package postgres runs private PostgreSQL servers for tests and demonstrations: real
// ones that can be killed, frozen, restarted, and made primary and standby, without
// touching any other server of the machine.
//
// Each [Server] has a loopback port, a password and a temporary folder of its own, so
// any number of them run side by side. Nothing outlives the process that started it:
// a watchdog ends the server even when that process is killed. As root, it runs as
// the user postgres or nobody, since PostgreSQL refuses root.
//
// A test package that needs a server writes
//
//	func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }
//
// and its tests call [Database] for a database of their own on a server that they
// share, or [New] for a server, and [NewPair] for a primary with a standby, that they
// may break. All fail the test, and never skip it, if PostgreSQL is not installed.
//
// The package links no driver: it works through PostgreSQL's own programs. Servers
// run on Linux only; elsewhere the package compiles and Start says so.
package postgres
