// Package chaos runs Warren, or a user's own handlers, while everything around it
// is broken, and judges what came of it.
//
// [Run] is the whole: a private RabbitMQ and, for several servers, a PostgreSQL; server
// processes that are killed again and again, clients behind a proxy, faults drawn from
// a seed, and at the end the verdict of package check over every call, effect and
// fault. `warren chaos` is a command for it. Its parts are for tests of your own:
//
//	proc      processes that are killed, frozen, and die at named crash points
//	proxy     a TCP proxy that cuts, stalls, drops, slices and delays
//	history   the log of calls, effects and faults, on disk before they matter
//	check     the invariants
//	report    the verdict as text, JSON and one HTML page
//	workload  operations whose every effect is found again
//
// docs/chaos.md shows how to put them together around a handler.
package chaos
