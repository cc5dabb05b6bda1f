package boltstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// sameJournal compares what the store knows of its journal with the file.
func sameJournal(t *testing.T, s *Store) {
	t.Helper()
	if err := compareJournal(s); err != nil {
		t.Error(err)
	}
}

func compareJournal(s *Store) error {
	s.committing.Lock()
	defer s.committing.Unlock()
	return s.db.View(func(tx *bbolt.Tx) error {
		read, area, err := s.file.readJournal(tx, firstDamage)
		if err != nil {
			return err
		}
		b, err := readBatch(tx, s.opts, read)
		if err != nil {
			return err
		}
		if known := contentOf(s.journal); area != s.area || !reflect.DeepEqual(contentOf(read), known) {
			return fmt.Errorf("the journal at %d has %+v; the store knows of %+v at %d", area, contentOf(read), known, s.area)
		}
		if h := *s.head.Load(); !reflect.DeepEqual(b.head, h) {
			return fmt.Errorf("the head is %+v; the store knows %+v", b.head, h)
		}
		return nil
	})
}

// journalContent is what a journal has.
type journalContent struct {
	generation journal.Generation
	versions   int
	keys       []store.Key
	values     []string
	last       string
	at         int
}

func contentOf(j *journal.Journal) journalContent {
	last, at := j.Last()
	c := journalContent{generation: j.Generation(), versions: j.Versions(), keys: j.Keys(), last: string(last), at: at}
	for _, key := range c.keys {
		value, _ := j.Get(key)
		c.values = append(c.values, string(value))
	}
	return c
}

// abandoned closes a store as the end of its process does: the journal is not flushed.
func abandoned(t testing.TB, s *Store) {
	t.Helper()
	s.failed.Store(true)
	shut(t, s)
}

// Whatever becomes of records, what is known of the journal is what the file has, and
// it stays short.
func TestJournalIsKnownAndStaysShort(t *testing.T) {
	t.Parallel()
	const limit, keys, workers, rounds = 40, 60, 8, 15
	path := newPath(t)
	s := open(t, path, Options{SweepEvery: -1, SweepBatch: 7, journalVersions: limit})
	for range rounds {
		var group sync.WaitGroup
		for w := range workers {
			random := rand.New(rand.NewPCG(uint64(w), s.epoch))
			group.Go(func() {
				for range 12 {
					if err := step(s, random, numbered(random.IntN(keys))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		sameJournal(t, s)
		if s.journal.Versions() > limit {
			t.Errorf("the journal has %d versions", s.journal.Versions())
		}
	}
	shut(t, s)
	if report, err := Check(t.Context(), path); err != nil || len(report.Findings) > 0 {
		t.Errorf("Check: %v, error %v", report.Findings, err)
	}
	sameJournal(t, open(t, path, Options{SweepEvery: -1}))
}

// step does something to a record, whatever its state.
func step(s *Store, random *rand.Rand, key store.Key) error {
	ctx := context.Background()
	switch random.IntN(6) {
	case 0:
		_, err := s.Bury(ctx, claimOf(key))
		return err
	case 1:
		_, err := s.Sweep(ctx)
		return err
	}
	c := claimOf(key)
	c.Unpark, c.Retention = true, time.Duration(1+random.IntN(3))*time.Hour
	if random.IntN(4) == 0 {
		c.Retention = time.Nanosecond
	}
	r, won, err := s.Claim(ctx, c)
	if err != nil || !won {
		return err
	}
	result := store.Result{State: store.Parked, Payload: make([]byte, random.IntN(2)*largeRecord+random.IntN(100))}
	switch random.IntN(5) {
	case 0:
		return s.Abandon(ctx, key, r.Token, store.AttemptEnd(random.IntN(3)))
	case 1:
		err := s.Transact(ctx, key, r.Token, time.Hour, func(*bbolt.Tx) (store.Result, error) { return result, errOwn })
		if !errors.Is(err, errOwn) {
			return errors.Join(err, errors.New("it should have failed"))
		}
		return s.Abandon(ctx, key, r.Token, store.Ended)
	case 2:
		return s.Transact(ctx, key, r.Token, time.Nanosecond, func(*bbolt.Tx) (store.Result, error) { return result, nil })
	}
	return s.Complete(ctx, key, r.Token, result, time.Duration(1+random.IntN(3))*time.Hour)
}

// Each version that a record has is found, wherever it is by then: in the journal, where
// it was flushed to, or where it is since it is large.
func TestRecordIsFoundWhereverItIs(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{SweepEvery: -1})
	large := store.Result{State: store.Parked, Payload: make([]byte, largeRecord)}
	unpark := claimOf(numbered(1))
	unpark.Unpark = true
	token := uint64(0)
	flush := func() {
		if n, err := s.Sweep(t.Context()); err != nil || n != 0 || s.journal.Versions() != 0 {
			t.Fatalf("Sweep: %d, error %v; the journal has %d versions", n, err, s.journal.Versions())
		}
	}
	look := func(when string, state store.State, size int) {
		t.Helper()
		r, err := s.Get(t.Context(), numbered(1))
		if err != nil || r.State != state || r.Token != token || len(r.Payload) != size {
			t.Errorf("%s it is %v with token %d and %d bytes, error %v; want %v, %d, %d",
				when, r.State, r.Token, len(r.Payload), err, state, token, size)
		}
		sameJournal(t, s)
	}
	claim := func() {
		r, won, err := s.Claim(t.Context(), unpark)
		if err != nil || !won || r.Token != token+1 {
			t.Fatalf("Claim: %+v, won %v, error %v", r, won, err)
		}
		token = r.Token
	}
	end := func(result store.Result) {
		if err := s.Complete(t.Context(), numbered(1), token, result, 2*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	small := store.Result{State: store.Parked, Payload: []byte("too many attempts")}
	claim()
	look("claimed", store.InProgress, 0)
	end(large)
	look("not in the journal any more", store.Parked, largeRecord)
	claim()
	look("back in the journal", store.InProgress, 0)
	flush()
	look("flushed", store.InProgress, 0)
	end(small)
	look("ended after it was flushed", store.Parked, len(small.Payload))
	flush()
	look("flushed again, in another minute", store.Parked, len(small.Payload))
	claim()
	flush()
	end(large)
	look("large, and not in the journal before", store.Parked, largeRecord)
	flush()
	claim()
	end(small)
	abandoned(t, s)
	s = open(t, path, Options{SweepEvery: -1})
	look("in the journal of another epoch", store.Parked, len(small.Payload))
	claim()
	end(small)
	abandoned(t, s)
	s = open(t, path, Options{SweepEvery: -1})
	look("in a journal of two epochs", store.Parked, len(small.Payload))
	shut(t, s)
	s = open(t, path, Options{SweepEvery: -1})
	if s.journal.Versions() != 0 {
		t.Errorf("a store that was closed has left %d versions in its journal", s.journal.Versions())
	}
	look("closed in order", store.Parked, len(small.Payload))
}
