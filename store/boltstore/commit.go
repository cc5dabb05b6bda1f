package boltstore

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// errNothing rolls back a transaction that has changed nothing, without a sync.
var errNothing = errors.New("boltstore: nothing to commit")

// run commits what waits, until ctx ends.
func (s *Store) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.queue.wake:
		}
		s.committing.Lock()
		s.commitWaiting()
		s.committing.Unlock()
	}
}

// lead has the caller commit what waits, its own operation among it, if nobody is
// committing: alone, it does not wait for another goroutine to wake up.
func (s *Store) lead() {
	if !s.committing.TryLock() {
		s.queue.signal()
		return
	}
	defer func() {
		s.committing.Unlock()
		if s.queue.length() > 0 {
			s.queue.signal()
		}
	}()
	s.commitWaiting()
}

// commitWaiting commits one group of those that wait.
func (s *Store) commitWaiting() {
	// Those whose calls have just ended are about to make others: all of them, and
	// not only the first, belong to this commit.
	for before, now := 0, s.queue.length(); now > before && now < s.operations; now = s.queue.length() {
		before = now
		runtime.Gosched()
	}
	ops, waiting := s.queue.take(s.width)
	if len(ops) == 0 {
		return
	}
	began := time.Now()
	s.operations = len(ops)
	failed, err := s.commit(ops)
	// A function that fails costs all that were before it in the transaction
	// another run. Where many fail, few share one.
	if failed {
		s.width = max(s.width/2, 1)
	} else {
		s.width = min(s.width*2, maxWidth)
	}
	if s.opts.OnCommit != nil {
		s.opts.OnCommit(Commit{
			Operations: s.operations, Waiting: waiting, Took: time.Since(began), Size: s.used(), Err: err,
		})
	}
}

// commit commits operations as one, without those whose functions fail, and
// finishes all. It reports whether one failed.
func (s *Store) commit(ops []*op) (failed bool, err error) {
	for len(ops) > 0 {
		failure, err := s.attempt(ops)
		if failure < 0 {
			s.finish(ops, err)
			return failed, err
		}
		failed = true
		o := ops[failure]
		if _, damaged := errors.AsType[*integrity.DamageError](o.failure); damaged {
			err := corrupt(s.path, o.failure)
			s.fail(err)
			s.finish(ops, err)
			return failed, err
		}
		ops = slices.Delete(ops, failure, failure+1)
		o.finish(o.failure)
	}
	return failed, nil
}

// finish ends operations that were committed if err is nil, and were not, or may
// not have been, if it is not.
func (s *Store) finish(ops []*op, err error) {
	for _, o := range ops {
		switch {
		case err == nil:
			o.finish(o.own)
		case final(err):
			o.finish(err)
		default:
			o.finish(&store.UnavailableError{Op: o.name, Cause: err})
		}
	}
}

// final reports whether a store that met err has stopped.
func final(err error) bool {
	var corrupt *store.CorruptError
	var held *store.HeldError
	return errors.As(err, &corrupt) || errors.As(err, &held)
}

// attempt applies all operations in one transaction. If the function of one fails, attempt
// returns its index, and nothing has changed; else -1 and what came of the commit.
func (s *Store) attempt(ops []*op) (failure int, err error) {
	if err := s.recover(); err != nil {
		return -1, err
	}
	failure = -1
	var b *batch
	var committed bool
	err = s.file.in(s.db.Update, func(tx *bbolt.Tx) (err error) {
		tx.OnCommit(func() { committed = true })
		b, failure, err = s.apply(tx, ops)
		return err
	})
	switch {
	case committed:
		if err != nil {
			s.opts.Logger.Error("a commit handler of the application panicked", "path", s.path, "error", err)
		}
		s.committed(b)
		s.noteRecorded(ops)
		return -1, nil
	case errors.Is(err, errNothing):
		return -1, nil
	case errors.Is(err, errFunction):
		return failure, nil
	}
	if c := corrupt(s.path, err); final(c) {
		s.fail(c)
		return -1, c
	}
	s.unconfirmed = true
	if noRoom(err) {
		first := !s.isTight()
		s.tight = time.Now()
		if first {
			return s.attempt(ops) // which needs fewer pages now
		}
		s.noteUnrecorded(ops, err)
	}
	return -1, err
}

// apply applies all operations to a batch, which it returns. If the function of one fails,
// it returns the index of that one, else -1.
func (s *Store) apply(tx *bbolt.Tx, ops []*op) (b *batch, failure int, err error) {
	if b, err = newBatch(tx, s.opts, s.journal, &s.journalTx); err != nil {
		return b, -1, err
	}
	b.txid = uint64(tx.ID())
	if b.txid <= s.durable.Load() {
		return b, -1, integrity.Damaged("the last commit is not there any more")
	}
	b.used = tx.Size() - s.free()
	b.room, b.tight = s.room, s.isTight()
	for i, o := range ops {
		o.own = o.apply(b)
		if errors.Is(o.own, errFunction) {
			return b, i, errFunction
		}
		if o.own != nil && !harmless(o.own) {
			return b, -1, o.own
		}
	}
	if !b.dirty {
		return b, -1, errNothing
	}
	return b, -1, b.finish()
}

// harmless reports whether an operation that failed so has left the batch as it was.
func harmless(err error) bool {
	var full *store.FullError
	var tombstones *store.TombstonesError
	var noRoom *store.UnavailableError // see Store.room
	return errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrKeyReused) || errors.As(err, &full) ||
		errors.As(err, &tombstones) || errors.As(err, &noRoom)
}

// committed makes a batch what readers may see.
func (s *Store) committed(b *batch) {
	s.shownMu.Lock()
	defer s.shownMu.Unlock()
	s.journal.Apply(b.journal)
	s.publish(b.head, b.txid)
}
