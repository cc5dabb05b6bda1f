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
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
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

// attempt commits all operations as one. If the function of one fails, attempt returns its
// index, and nothing has changed; else -1 and what came of the commit.
func (s *Store) attempt(ops []*op) (failure int, err error) {
	if err := s.recover(); err != nil {
		return -1, err
	}
	failure = -1
	if s.placed(ops) {
		err = journal.ErrFull
	} else {
		err = s.log(ops)
	}
	if errors.Is(err, journal.ErrFull) {
		failure, err = s.place(ops)
	}
	switch {
	case err == nil:
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
	s.unconfirmed.Store(true)
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

// placed reports whether what operations change goes to its place at once.
func (s *Store) placed(ops []*op) bool {
	return s.opts.NoJournal || slices.ContainsFunc(ops, func(o *op) bool { return o.placed })
}

// log commits operations by the journal. The error is journal.ErrFull if it has no room for
// what they change; nothing has changed then.
func (s *Store) log(ops []*op) error {
	b, entry, at, err := s.collect(ops)
	if err == nil {
		err = s.file.append(entry, at, s.db.Sync)
	}
	if err == nil {
		s.show(b, func() { s.journal.Apply(b.journal) })
	}
	return err
}

// collect applies operations to the records as they are, and returns the journal's entry of
// what they change, with where in the file it belongs.
func (s *Store) collect(ops []*op) (b *batch, entry []byte, at int64, err error) {
	err = s.file.in(s.db.View, func(tx *bbolt.Tx) (err error) {
		if b, err = newBatch(tx, s.opts, *s.head.Load()); err != nil {
			return err
		}
		b.txid, b.journal = uint64(tx.ID()), &s.journalTx
		if b.txid < s.durable.Load() {
			return errGone
		}
		b.journal.Begin(s.journal, s.opts.journalVersions)
		_, err = s.apply(b, ops)
		return err
	})
	if err != nil {
		return nil, nil, 0, err
	}
	entry, offset, err := b.journal.Seal(b.encode())
	return b, entry, s.area + int64(offset), err
}

var errGone = integrity.Damaged("the last commit is not there any more")

// place commits operations by a transaction of bbolt, which also flushes the journal. If the
// function of one fails, it returns the index of that one, else -1.
func (s *Store) place(ops []*op) (failure int, err error) {
	keys, err := s.drain()
	if err != nil {
		return -1, err
	}
	var b *batch
	var committed bool
	err = s.file.in(s.db.Update, func(tx *bbolt.Tx) (err error) {
		tx.OnCommit(func() { committed = true })
		b, failure, err = s.transact(tx, keys, ops)
		return err
	})
	if errors.Is(err, errFunction) && s.journal.Versions() > costlyFlush {
		if _, err := s.place(nil); err != nil {
			return -1, err
		}
	}
	if !committed {
		return failure, err
	}
	if err != nil {
		s.opts.Logger.Error("a commit handler of the application panicked", "path", s.path, "error", err)
	}
	s.show(b, func() { s.journal.Reset(b.generation) })
	if slices.ContainsFunc(ops, func(o *op) bool { return o.turn != nil }) {
		s.follow()
	}
	return -1, nil
}

// costlyFlush is how many versions are flushed by a commit of their own, so that a function
// that fails has them rolled back once only.
const costlyFlush = 256

// transact flushes the journal, of which those keys are not flushed yet, and applies
// operations, in a transaction.
func (s *Store) transact(tx *bbolt.Tx, keys []store.Key, ops []*op) (b *batch, failure int, err error) {
	if b, err = s.placing(tx); err != nil {
		return nil, -1, err
	}
	if err := b.flush(s.journal, keys); err != nil {
		return nil, -1, err
	}
	b.dirty = s.journal.Versions() > 0
	b.generation = b.generation.Next()
	if failure, err = s.apply(b, ops); err != nil {
		return nil, failure, err
	}
	return b, -1, b.finish()
}

// placing returns the batch of a transaction that writes.
func (s *Store) placing(tx *bbolt.Tx) (*batch, error) {
	b, err := newBatch(tx, s.opts, *s.head.Load())
	if err != nil {
		return nil, err
	}
	b.txid = uint64(tx.ID())
	if b.txid <= s.durable.Load() {
		return nil, errGone
	}
	_, err = b.headWith(s.journal)
	return b, err
}

// drain returns the keys of the records that are to be flushed. Where the disk had no room
// lately it first flushes most of them by small commits, each of which needs few pages.
func (s *Store) drain() (keys []store.Key, err error) {
	keys = s.journal.Keys()
	for s.isTight() && len(keys) > tightPortion {
		var b *batch
		some := keys[:tightPortion]
		err := s.file.in(s.db.Update, func(tx *bbolt.Tx) (err error) {
			if b, err = s.placing(tx); err != nil {
				return err
			}
			return b.flush(s.journal, some)
		})
		if err != nil {
			return nil, err
		}
		s.show(b, func() { s.journal.Forget(some) })
		keys = keys[tightPortion:]
	}
	return keys, nil
}

// tidy flushes the journal before the file is closed, so that no process is needed to read
// what it has. If that does not work, what is in it stays there.
func (s *Store) tidy() {
	if s.failed.Load() || s.unconfirmed.Load() || s.journal.Versions() == 0 {
		return
	}
	if _, err := s.place(nil); err != nil {
		s.opts.Logger.Warn("the journal of the store was not flushed before it was closed", "path", s.path, "error", err)
	}
}

// apply applies all operations to a batch. If the function of one fails, it returns the
// index of that one, else -1.
func (s *Store) apply(b *batch, ops []*op) (failure int, err error) {
	b.used = b.tx.Size() - s.free()
	b.room, b.tight = s.room, s.isTight()
	for i, o := range ops {
		o.own = o.apply(b)
		if errors.Is(o.own, errFunction) {
			return i, errFunction
		}
		if o.own != nil && !harmless(o.own) {
			return -1, o.own
		}
	}
	if !b.dirty {
		return -1, errNothing
	}
	return -1, nil
}

// harmless reports whether an operation that failed so has left the batch as it was.
func harmless(err error) bool {
	var full *store.FullError
	var tombstones *store.TombstonesError
	var noRoom *store.UnavailableError // see Store.room
	return errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrKeyReused) || errors.As(err, &full) ||
		errors.As(err, &tombstones) || errors.As(err, &noRoom)
}

// show makes a batch that was committed what readers may see, with what it has made of the
// journal.
func (s *Store) show(b *batch, journal func()) {
	s.shownMu.Lock()
	defer s.shownMu.Unlock()
	journal()
	s.publish(b.head, b.txid)
}
