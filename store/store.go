package store

import (
	"context"
	"time"
)

// Store keeps records. All methods are safe for concurrent use, and each is atomic:
// of several claims of one key at a time one wins.
//
// ctx bounds the wait: a method whose ctx ends before its change was begun returns
// ctx's error, and has changed nothing; one whose change was under way may return
// after it.
//
// Errors are those of this package, found by errors.Is and errors.As, or ctx's.
type Store interface {
	// Get returns the record, with the State Absent if there is none. What is in
	// progress with a dead owner is returned as Interrupted.
	Get(ctx context.Context, key Key) (Record, error)

	// Claim begins an attempt of the call, if nothing is in its way, and returns the
	// record after that. Won says whether it did: the record is then InProgress, its
	// Token the caller's and its Attempts one more. It wins if the record is
	//
	//   - absent, or past its retention,
	//   - Interrupted, unless c.Once,
	//   - Parked, if c.Unpark: Attempts is then 1.
	//
	// Otherwise nothing has changed, and the record says what is in the way: of an
	// absent one that may be the tombstone at c.Key.Tombstone(c.Fingerprint), if the
	// fingerprint's proof is known. A record with another fingerprint is ErrKeyReused,
	// whatever its state.
	Claim(ctx context.Context, c Claim) (r Record, won bool, err error)

	// Renew extends the lease of a record in progress, from now on. A store without
	// leases does nothing but check the token. ErrStale if token is not that of the
	// record's owner at this time, or the record is not in progress any more. A process
	// renews all its claims at about the same time: concurrent calls may be made one.
	Renew(ctx context.Context, key Key, token uint64, lease time.Duration) error

	// Complete ends a record in progress. It is kept for retention from now on.
	// ErrStale as for Renew; an owner whose lease has run out and who has not been
	// replaced still completes.
	Complete(ctx context.Context, key Key, token uint64, r Result, retention time.Duration) error

	// Abandon gives up a record in progress, whose attempt has come to that end.
	// After Unended and Ended it is Interrupted, with its token; after Undone as the
	// claim found it: absent if it was the call's First, and else Interrupted.
	// Attempts count one less, unless it is Unended. ErrStale as for Complete.
	Abandon(ctx context.Context, key Key, token uint64, end AttemptEnd) error

	// Bury makes sure that a call whose fingerprint has b's proof, which must be known,
	// does not run from here on, as long as the record is kept. An Interrupted record
	// becomes a tombstone, and is kept at least as long as before; Attempts stay. If it is absent, a tombstone is written at
	// b.Key.Tombstone(b.Fingerprint), which binds no request with another proof: who
	// does not know the call cannot forbid it. Bury returns the record that was there
	// before, or the tombstone that it found there; one that is InProgress, has ended,
	// or is a tombstone was left as it is. A record with another proof is ErrKeyReused,
	// and a *TombstonesError says that there are too many: nothing is changed then. Of b, the fields Once, Unpark and Lease
	// are not used.
	Bury(ctx context.Context, b Claim) (before Record, err error)

	// Sweep forgets records whose retention is over, and returns how many. It may
	// leave some, which count as absent all the same, to a later one. A record in
	// progress whose owner is alive stays. Stores sweep by themselves, too.
	Sweep(ctx context.Context) (int, error)

	// Stats returns figures of the store as it is.
	Stats(ctx context.Context) (Stats, error)

	// Owner is who this store's claims belong to: another each time that a store is
	// opened.
	Owner() string

	// Identity tells this store from all others. It stays the same for as long as its
	// data live, whoever opens them, and a copy of the data has it too.
	Identity() Identity

	// Traits says what this store can promise.
	Traits() Traits

	// Close ends all that is under way, and then answers ErrClosed. Records in
	// progress are left as they are.
	Close() error
}

// Claim is a request to begin a call.
type Claim struct {
	Key            Key
	Method, CallID string
	Fingerprint    Fingerprint
	// Lease is how long the owner is taken to be alive without a Renew. Stores
	// without leases do not use it. Above 0.
	Lease time.Duration
	// Retention is how long the record is kept if nothing more becomes of it. Above
	// 0.
	Retention time.Duration
	// Once refuses to begin a call again that was begun before.
	Once bool
	// Unpark begins a Parked call again.
	Unpark bool
}

// AttemptEnd is what is known of an attempt whose claim is given up.
type AttemptEnd uint8

// The ends of attempts.
const (
	Unended AttemptEnd = iota // nobody knows: it counts among those that were begun and did not end
	Ended                     // it ended in order, and may have done something
	Undone                    // it did nothing, or all of it was taken back
)

// Transactional is a store whose transactions an application can join. Tx is its
// type of transaction, such as *bbolt.Tx.
type Transactional[Tx any] interface {
	Store
	// Transact calls fn in a transaction that also completes the record, as Complete
	// does, with the result that fn returns. Either both are committed or neither:
	// if fn fails, the transaction is rolled back and its error returned as it is,
	// and the record is in progress still. ErrStale if the token is not that of the
	// record's owner, before fn is called; or after it, if the record was lost while
	// fn ran: all that fn did is undone then. ErrRolledBack if fn returned no error
	// and the transaction cannot commit because a statement of fn's had failed. If
	// the storage failed under fn, it is an *UnavailableError whatever fn returned:
	// an error of fn's may say no more than that.
	//
	// fn may be called several times, each time with a transaction in which what it
	// did before is undone, and at most once with effect: transactions that are
	// committed together are rolled back together if one of them fails, and the
	// others run again. fn must do nothing but compute and use the transaction, use
	// it on its own goroutine and not after it has returned, and be quick: a store
	// with one writer has all others wait. A panic of fn is rolled back and
	// propagated.
	Transact(ctx context.Context, key Key, token uint64, retention time.Duration, fn func(tx Tx) (Result, error)) error
}

// Waiter is a store that tells when a record in progress may have changed, so that who
// waits for another process's call does not have to look again and again.
type Waiter interface {
	// Wait returns nil when the record is not in progress any more with this token
	// and an owner that is alive: it has ended, was abandoned, taken over or
	// forgotten, or its owner is dead. It returns within 50 ms of that as a rule, and
	// may return nil sooner for no reason: Get tells what has become of the record.
	// Else it returns ctx's error when ctx ends, or fails as Get does.
	//
	// Any number of goroutines may wait, for the same record too.
	Wait(ctx context.Context, key Key, token uint64) error
}

// Identity is which store this is: what calls of a method have done is remembered in
// one, and the others know nothing of it.
type Identity struct {
	// ID is drawn at random when the store is made: 1 to 32 letters and digits. Those of all
	// stores that a method may ever have differ.
	ID string
	// Created is when the store was made, as in [Stats].
	Created time.Time
	// Place is where the data are, for people: the path of a file. It may change, and
	// may be empty.
	Place string
}

// String describes the store in a line.
func (i Identity) String() string {
	s := "store " + i.ID
	if !i.Created.IsZero() {
		s += " of " + i.Created.UTC().Format(time.RFC3339)
	}
	if i.Place != "" {
		s += " (" + i.Place + ")"
	}
	return s
}

// Traits are what a store can promise.
type Traits struct {
	// Durable: what was committed is there after the process, or the machine, has
	// ended without warning.
	Durable bool
	// Shared: several processes may use the store at the same time.
	Shared bool
}

// Stats are figures of a store.
type Stats struct {
	// Created is when the store was made: a call older than that may have run
	// without leaving a record. It does not change while the store's data lives.
	Created time.Time
	// Records is how many there are in each state, those with dead owners among
	// Interrupted. The map has no entry for a state without records.
	Records map[State]int
	// Size is how much storage is in use and Limit how much may be; in bytes, 0 if
	// the store does not know.
	Size, Limit int64
}

// Total is the number of all records.
func (s Stats) Total() int {
	n := 0
	for _, records := range s.Records {
		n += records
	}
	return n
}
