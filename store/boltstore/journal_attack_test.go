package boltstore

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// journalBlock is what the entries of a journal begin at multiples of.
const journalBlock = 4 << 10

// forgedEntry returns what would be the entry, at an offset of the area, of the generation
// after the present one, if that were only a number: with a record of a call that was never
// made.
func forgedEntry(s *Store, key store.Key, offset int) []byte {
	now := time.Now()
	body := appendBody(nil, &stored{Record: store.Record{
		Key: key, State: store.Completed, Token: 1, Attempts: 1, Fingerprint: store.Fingerprint{1},
		Created: now, Updated: now, Expires: now.Add(time.Hour), Payload: []byte("forged"), Size: 6, Retained: true,
	}})
	h := *s.head.Load()
	h.generation.Number++
	head := h.encode()
	e := slices.Concat(make([]byte, 32), binary.BigEndian.AppendUint32(nil, uint32(len(body))), body, head)
	binary.BigEndian.PutUint64(e[8:], h.generation.Number)
	copy(e[16:], h.generation.Secret[:])
	binary.BigEndian.PutUint32(e[24:], 1)
	binary.BigEndian.PutUint32(e[28:], uint32(len(head)))
	binary.BigEndian.PutUint32(e[4:], uint32(len(e)))
	binary.BigEndian.PutUint32(e, integrity.Sum(binary.BigEndian.AppendUint64(nil, uint64(offset)), e[4:]))
	return e
}

// endWithForgedEntries ends a call with a payload that has forged entries of
// the call numbered -1 where entries may begin.
func endWithForgedEntries(t *testing.T, s *Store) {
	t.Helper()
	r := must(t, s, numbered(1))
	end := func(payload []byte) (at int) {
		if err := s.Complete(t.Context(), r.Key, r.Token, store.Result{State: store.Completed, Payload: payload}, time.Hour); err != nil {
			t.Fatal(err)
		}
		body, _ := s.journal.Get(r.Key)
		_, offset := s.journal.Last()
		return offset + 32 + 4 + len(body) - len(payload)
	}
	const size = 3 * journalBlock
	at := end(make([]byte, size)) // where it lies: another call of a generation of its own has it there, too
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = must(t, s, numbered(2))
	payload := make([]byte, size)
	slots := 0
	for slot := (at + journalBlock - 1) / journalBlock * journalBlock; slot+600 < at+size; slot += journalBlock {
		copy(payload[slot-at:], forgedEntry(s, numbered(-1), slot))
		slots++
	}
	if got := end(payload); got != at || slots < 2 {
		t.Fatalf("the payload lies at %d, and not at %d, with %d entries", got, at, slots)
	}
}

// Whatever bytes a caller has stored, they are not taken for what the store has written
// itself: neither for damage, nor for a record.
func TestPayloadIsNotTakenForAnEntry(t *testing.T) {
	t.Parallel()
	for name, flush := range map[string]func(*testing.T, *Store){
		"closed in order": shutOnly,
		"killed where the next entry would be": func(t *testing.T, s *Store) {
			if _, err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			must(t, s, numbered(10))
			must(t, s, numbered(11))
			abandoned(t, s)
		},
		"killed before": func(t *testing.T, s *Store) {
			if _, err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			must(t, s, numbered(10))
			abandoned(t, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, path, Options{SweepEvery: -1})
			endWithForgedEntries(t, s)
			flush(t, s)
			s = open(t, path, Options{SweepEvery: -1})
			if state := stateOf(t, s, numbered(-1)); state != store.Absent {
				t.Errorf("a call that was never made is %v", state)
			}
			shut(t, s)
			if report, err := Check(t.Context(), path); err != nil || len(report.Findings) > 0 {
				t.Errorf("Check: %v, error %v", report.Findings, err)
			}
		})
	}
}

func shutOnly(t *testing.T, s *Store) {
	t.Helper()
	shut(t, s)
}

// A function that changes what is in the journal's bucket fails, and one that has bbolt move
// the bucket does no harm: what is acknowledged after it is kept, and the pages that the
// application writes to are its own.
func TestFunctionDoesNotLoseTheJournal(t *testing.T) {
	t.Parallel()
	bucket := func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(journalKey) }
	sequences := func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return b.SetSequence(b.Sequence()) })
	}
	for name, c := range map[string]struct {
		fn      func(*bbolt.Tx) error
		refused bool
	}{
		"another key":    {func(tx *bbolt.Tx) error { return bucket(tx).Put([]byte("x"), []byte("y")) }, true},
		"no area":        {func(tx *bbolt.Tx) error { return bucket(tx).Delete(areaKey) }, true},
		"a smaller area": {func(tx *bbolt.Tx) error { return bucket(tx).Put(areaKey, make([]byte, 100)) }, true},
		"a key for a moment": {func(tx *bbolt.Tx) error {
			return errors.Join(bucket(tx).Put([]byte("x"), []byte("y")), bucket(tx).Delete([]byte("x")))
		}, false},
		"the sequence":      {func(tx *bbolt.Tx) error { _, err := bucket(tx).NextSequence(); return err }, false},
		"all the sequences": {sequences, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, path, Options{SweepEvery: -1})
			before := s.area
			transact := func(i int, fn func(*bbolt.Tx) error) error {
				r := must(t, s, numbered(i))
				return s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(tx *bbolt.Tx) (store.Result, error) {
					return done, fn(tx)
				})
			}
			if err := transact(1, c.fn); (err != nil) != c.refused {
				t.Errorf("Transact: %v", err)
			}
			if (s.area == before) != c.refused {
				t.Errorf("the area was at %d, and is at %d", before, s.area)
			}
			sameJournal(t, s)
			for i := range 3 { // the application's data go where the area was
				err := transact(10+i, func(tx *bbolt.Tx) error {
					b, err := tx.CreateBucketIfNotExists(effects)
					if err != nil {
						return err
					}
					return b.Put([]byte{byte(i)}, make([]byte, 1_000_000))
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			fill(t, s, 20, 40)
			abandoned(t, s)
			if report, err := Check(t.Context(), path); err != nil || len(report.Findings) > 0 {
				t.Fatalf("Check: %v, error %v", report.Findings, err)
			}
			s = open(t, path, Options{SweepEvery: -1})
			for i := 20; i < 40; i++ {
				if stateOf(t, s, numbered(i)) == store.Absent {
					t.Errorf("call %d is absent", i)
				}
			}
			if clean, err := isClear(s); err != nil || !clean {
				t.Errorf("the application's data are as it wrote them: %v, error %v", clean, err)
			}
		})
	}
}

// isClear reports whether the values of the application's bucket are zeros.
func isClear(s *Store) (clean bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		clean = true
		return tx.Bucket(effects).ForEach(func(_, v []byte) error {
			for _, b := range v {
				clean = clean && b == 0
			}
			return nil
		})
	})
	return clean, err
}

// A function that fails has what is in the journal flushed once, not again and again.
func TestFunctionThatFailsRollsNoLongJournalBack(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{SweepEvery: -1})
	fails := func(i int) {
		t.Helper()
		r := must(t, s, numbered(i))
		err := s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(*bbolt.Tx) (store.Result, error) { return done, errOwn })
		if !errors.Is(err, errOwn) {
			t.Errorf("Transact: %v", err)
		}
		sameJournal(t, s)
	}
	fails(-1)
	if s.journal.Versions() != 1 {
		t.Errorf("a short journal was flushed")
	}
	for i := range costlyFlush {
		must(t, s, numbered(i))
	}
	fails(-2)
	if n := s.journal.Versions(); n > 0 {
		t.Errorf("the journal has %d versions still", n)
	}
	if state := stateOf(t, s, numbered(-2)); state != store.InProgress {
		t.Errorf("the call of the function that failed is %v", state)
	}
}

// touchJournal has bbolt move the journal's bucket.
func touchJournal(tx *bbolt.Tx) (store.Result, error) {
	_, err := tx.Bucket(journalKey).NextSequence()
	return done, err
}
