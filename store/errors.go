package store

import (
	"errors"
	"fmt"
	"time"
)

// Errors of stores.
var (
	// ErrStale: the token is not that of the record's owner any more, or the record
	// is not in progress. What its caller does has no place in the store.
	ErrStale = errors.New("store: the claim has been lost to another owner, or has ended")
	// ErrKeyReused: the record is of another request with the same key.
	ErrKeyReused = errors.New("store: the key was used for another request")
	// ErrRolledBack: the transaction of a Transact cannot commit although its function
	// returned no error: a statement in it had failed, and the function went on.
	// Nothing was changed, and the record is in progress still.
	ErrRolledBack = errors.New("store: the transaction cannot commit: a statement in it had failed, and the error was passed over")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("store: closed")
)

// FullError says that a store takes no new records: it keeps what room is left for
// completing those that it has. Nothing was changed. There may be a record of what was to
// be claimed: a store that writes what comes together refuses it together.
type FullError struct {
	// Size and Limit are in bytes.
	Size, Limit int64
	// RetryAfter is when a sweep may have made room.
	RetryAfter time.Duration
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("store: full: %d of %d bytes are in use, and new records need 20 %% free", e.Size, e.Limit)
}

// TombstonesError says that a store writes no more tombstones of calls that never
// came: they have a part of its room, so that who asks about calls does not keep
// others from being begun. Nothing was changed.
type TombstonesError struct {
	// Limit is how many tombstones there may be.
	Limit int
	// RetryAfter is when a sweep may have made room.
	RetryAfter time.Duration
}

// Error implements error.
func (e *TombstonesError) Error() string {
	return fmt.Sprintf("store: there are %d tombstones already", e.Limit)
}

// HeldError says that another process has the store, which takes one at a time.
type HeldError struct {
	Path string
	// Holder says who has it, as well as that is known: a process ID and when it
	// opened the store. Empty if unknown.
	Holder string
}

// Error implements error.
func (e *HeldError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("store: %s is open in another process", e.Path)
	}
	return fmt.Sprintf("store: %s is open in another process: %s", e.Path, e.Holder)
}

// VersionError says that the store's data was written by a later version of this
// program, which this one must not touch.
type VersionError struct {
	Path        string
	Have, Known int
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("store: %s has format version %d; this program knows versions up to %d", e.Path, e.Have, e.Known)
}

// CorruptError says that the store's data is damaged. The store does nothing more:
// a record that cannot be read might be one that says that a call has run.
type CorruptError struct {
	Path   string
	Detail string
	// Repair is the command that shows and repairs the damage.
	Repair string
	Cause  error
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("store: %s is damaged: %s; look with: %s", e.Path, e.Detail, e.Repair)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }

// UnavailableError says that the storage did not do what was asked: the disk is full
// or broken, a database is not there. What was asked may have been done.
type UnavailableError struct {
	Op    string // what was asked: "claim", "complete", …
	Cause error
}

// Error implements error.
func (e *UnavailableError) Error() string { return fmt.Sprintf("store: %s: %v", e.Op, e.Cause) }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }
