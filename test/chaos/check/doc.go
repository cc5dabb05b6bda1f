// Package check judges the history of a chaos run: for each invariant it counts how
// often it could have been broken and how often it was, and shows examples.
//
// [Check] reads the history twice and keeps some hundred bytes for each call, not
// for each event. The order of events does not matter, nor that of files: only
// times do.
//
// What it judges by are three accounts that are kept apart: what callers were told
// (call, end and resolve events), what was done (effects, which the handlers write
// or the application's own book tells), and what was broken (faults). An account
// that is missing is not taken for a good one: what could not be checked has 0
// checked, and [Options.Require] makes that a broken verdict.
//
// A call that succeeds is taken to have an effect, and must have an effect event,
// unless its operation is read-only or its reply said that nothing was changed.
//
// A result of 0 broken of n is no proof that the promise holds; [Invariant.Upper]
// says what it rules out.
package check
