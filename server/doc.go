// Package server is the handler's side of Warren: it declares one queue per
// method, checks requests before a handler sees them, runs handlers with the
// caller's deadline, answers with a result or a typed error, and acknowledges
// a request last, so that a server that dies gives it to another.
//
// A handler may therefore run more than once for one call; see the word on
// guarantees in docs/guarantees.md.
//
// A request passes, in this order, with a store and without: bounds and metadata, the
// deadline, [Admission], [KillSwitch], the interceptors, the body's decoding and
// Validate, the record of its call (see [Dedupe]), the handler. What refuses it before
// the handler tells its caller that it was not executed, or Unknown if the broker had
// handed it out before. Interceptors pass on the context that they got, or one made
// from it, before they return; the request they may replace. The errors that they see are what the caller is told, with the outcome; what
// led to them is found by errors.Is and errors.As.
package server
