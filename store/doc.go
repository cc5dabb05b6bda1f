// Package store is the memory of a server: which calls it has begun, and how they
// ended. With it a call that is delivered or published again is answered with the
// reply that it had, and its effect is not repeated.
//
// [Store] is the contract; package storetest judges implementations of it.
// Package boltstore keeps the records in a file, package memstore in memory, for
// tests.
//
// # The life of a record
//
//	absent ── Claim ──▶ in progress ── Complete ──▶ completed, failed or parked
//	   │                  │      ▲
//	   │            Abandon,     │ Claim, with the next token
//	   │            owner dead   │
//	   │                  ▼      │
//	   └─ Bury ──▶ tombstone ◀── interrupted
//
// A record begins with a claim, which makes its caller the owner and gives it a
// fencing token. Only the owner's current token completes, renews or abandons the
// record: who was believed dead and was replaced finds its token stale. An owner
// is dead when its lease has run out, or the store has learnt that its process has
// ended: that it has closed the store, or was killed.
//
// A store that one process has at a time knows it when the next one opens it, and
// needs no leases. A shared one knows it by its leases at the latest; it may learn
// it sooner, within a second or two of the death.
//
// # What may happen twice
//
// What is claimed and not completed may have had its effect: if the process ends
// between the effect and Complete, the next claim of the key runs it again. A
// caller that must not do so claims with Once. Only a [Transactional] store, which
// commits the effect and the record as one, makes neither happen.
//
// Every method that returns nil has its change on stable storage, as far as
// [Traits] promise and the disk keeps its word. One that fails may have made it:
// Get tells. Claim after a Claim that failed so is the next attempt.
//
// # Calls that another process has
//
// Who meets a record in progress waits until it is not: by looking again or, in a
// store that is a [Waiter], until the store says that it may have changed.
package store
