package boltstore

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// errNothing rolls back a transaction that has changed nothing, without a sync.
var errNothing = errors.New("boltstore: nothing to commit")

// run commits what waits, until ctx ends.
func (s *Store) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.line.wake:
		}
		s.committing.Lock()
		s.group()
		s.committing.Unlock()
	}
}

// lead has the caller commit what waits, its own operation among it, if nobody is
// committing: alone, it does not wait for another goroutine to wake up.
func (s *Store) lead() {
	if !s.committing.TryLock() {
		s.line.poke()
		return
	}
	defer func() {
		s.committing.Unlock()
		if s.line.length() > 0 {
			s.line.poke()
		}
	}()
	s.group()
}

// group commits one group of those that wait.
func (s *Store) group() {
	// Those whose calls have just ended are about to make others: all of them, and
	// not only the first, belong to this commit.
	for before, now := 0, s.line.length(); now > before && now < s.operations; now = s.line.length() {
		before = now
		runtime.Gosched()
	}
	ops, waiting := s.line.take(s.width)
	if len(ops) == 0 {
		return
	}
	began := time.Now()
	s.operations = len(ops)
	spoiled, err := s.commit(ops)
	// A function that fails costs all that were before it in the transaction
	// another run. Where many fail, few share one.
	if spoiled {
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
// settles all. It reports whether one failed.
func (s *Store) commit(ops []*op) (spoiled bool, err error) {
	for len(ops) > 0 {
		culprit, err := s.attempt(ops)
		if culprit < 0 {
			s.settle(ops, err)
			return spoiled, err
		}
		spoiled = true
		o := ops[culprit]
		if _, damaged := errors.AsType[*damage](o.verdict); damaged {
			err := corrupt(s.path, o.verdict)
			s.fail(err)
			s.settle(ops, err)
			return spoiled, err
		}
		ops = slices.Delete(ops, culprit, culprit+1)
		o.settle(o.verdict)
	}
	return spoiled, nil
}

// settle ends operations that were committed if err is nil, and were not, or may
// not have been, if it is not.
func (s *Store) settle(ops []*op, err error) {
	for _, o := range ops {
		switch {
		case err == nil:
			o.settle(o.own)
		case final(err):
			o.settle(err)
		default:
			o.settle(&store.UnavailableError{Op: o.name, Cause: err})
		}
	}
}

// final reports whether a store that met err has stopped.
func final(err error) bool {
	var corrupt *store.CorruptError
	var held *store.HeldError
	return errors.As(err, &corrupt) || errors.As(err, &held)
}

// attempt applies all operations in one transaction. If one spoils it, attempt
// returns its index, and nothing has changed; else -1 and what came of the commit.
func (s *Store) attempt(ops []*op) (culprit int, err error) {
	if err := s.mend(); err != nil {
		return -1, err
	}
	culprit = -1
	var b *batch
	var committed bool
	err = s.file.in(s.db.Update, func(tx *bbolt.Tx) (err error) {
		tx.OnCommit(func() { committed = true })
		b, culprit, err = s.apply(tx, ops)
		return err
	})
	switch {
	case committed:
		if err != nil {
			s.opts.Logger.Error("a commit handler of the application panicked", "path", s.path, "error", err)
		}
		s.committed(b)
		s.recorded(ops)
		return -1, nil
	case errors.Is(err, errNothing):
		return -1, nil
	case errors.Is(err, errSpoiled):
		return culprit, nil
	}
	if c := corrupt(s.path, err); final(c) {
		s.fail(c)
		return -1, c
	}
	s.doubt = true
	if noRoom(err) {
		first := !s.isTight()
		s.tight = time.Now()
		if first {
			return s.attempt(ops) // which needs fewer pages now
		}
		s.unrecorded(ops, err)
	}
	return -1, err
}

func (s *Store) apply(tx *bbolt.Tx, ops []*op) (b *batch, culprit int, err error) {
	if b, err = newBatch(tx, s.opts, s.known); err != nil {
		return b, -1, err
	}
	b.txid = uint64(tx.ID())
	if b.txid <= s.durable.Load() {
		return b, -1, damaged("the last commit is not there any more")
	}
	b.used = tx.Size() - s.free()
	s.draft.reset(s.known)
	b.draft, b.room, b.tight = &s.draft, s.room, s.isTight()
	for i, o := range ops {
		o.own = o.apply(b)
		if errors.Is(o.own, errSpoiled) {
			return b, i, errSpoiled
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
	s.shown.Lock()
	defer s.shown.Unlock()
	s.known.commit(b.draft, &b.head)
	s.publish(b.head, b.txid)
}
