// Package server is the handler's side of Warren: it declares one queue per
// method, checks requests before a handler sees them, runs handlers with the
// caller's deadline, answers with a result or a typed error, and acknowledges
// a request last, so that a server that dies gives it to another.
//
// A handler may therefore run more than once for one call; see the word on
// guarantees in docs/guarantees.md.
package server
