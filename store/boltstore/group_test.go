package boltstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// together has operations committed as one, in that order, and returns what the last
// one ended with.
func together(s *Store, ops ...*op) error {
	s.committing.Lock()
	defer s.committing.Unlock()
	for _, o := range ops {
		o.done = make(chan struct{}, 1)
		if err := s.queue.add(o); err != nil {
			return err
		}
	}
	s.commitWaiting()
	last := ops[len(ops)-1]
	<-last.done
	return last.err
}

// A batch that outgrows the journal has its operations done once more, each with what those
// before it did.
func TestBatchThatOutgrowsTheJournalIsPlaced(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{SweepEvery: -1, journalVersions: 50})
	must(t, s, numbered(0))
	claim := func(i int, want bool) *op {
		return &op{name: "claim", apply: func(b *batch) error {
			_, won, err := b.claim(claimOf(numbered(i)))
			if err == nil && won != want {
				err = fmt.Errorf("claim %d: won %v", i, won)
			}
			return err
		}}
	}
	ops := []*op{claim(0, false)}
	for i := range 80 {
		ops = append(ops, claim(i+1, true))
	}
	if err := together(s, append(ops, claim(1, false))...); err != nil {
		t.Error(err)
	}
	if stats, err := s.Stats(t.Context()); err != nil || stats.Total() != 81 || s.journal.Versions() != 0 {
		t.Errorf("Stats: %+v, error %v; the journal has %d versions", stats, err, s.journal.Versions())
	}
	sameJournal(t, s)
}

// groups is what TestGroupsDoWhatTheirOperationsSay does to a store, with what it
// expects of it.
type groups struct {
	*rapid.T
	path    string
	s       *Store
	ahead   time.Duration              // of the clock
	there   map[store.Key]store.Record // that were committed
	changed map[store.Key]store.Record // by the batch that is made
}

const groupKeys = 12

func (g *groups) now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(g.ahead) }

func (g *groups) open() {
	versions := rapid.SampledFrom([]int{0, 1, 5, 60}).Draw(g.T, "journal")
	s, err := Open(g.path, Options{SweepEvery: -1, NoJournal: versions == 0, journalVersions: versions, Now: g.now})
	if err != nil {
		g.Fatal(err)
	}
	g.s, s.db.NoSync = s, true
}

func (g *groups) reopen() {
	g.s.failed.Store(rapid.Bool().Draw(g.T, "killed")) // then the journal is not flushed
	if err := g.s.Close(); err != nil {
		g.Fatal(err)
	}
	if report, err := Check(context.Background(), g.path); err != nil || len(report.Findings) > 0 {
		g.Fatalf("Check: %v, error %v", report.Findings, err)
	}
	for key, r := range g.there {
		if r.State == store.InProgress {
			r.State = store.Interrupted
			g.there[key] = r
		}
	}
	if rapid.IntRange(0, 4).Draw(g.T, "compact") == 0 {
		compacted := g.path + ".compacted"
		if err := errors.Join(Compact(g.path, compacted), os.Rename(compacted, g.path)); err != nil {
			g.Fatal(err)
		}
	}
	g.read()
	g.open()
}

// read compares what a reader of the file lists with what is there: each record once, in
// the order in which they expire.
func (g *groups) read() {
	r, err := OpenReadOnly(g.path)
	if err != nil {
		g.Fatal(err)
	}
	listed := make(map[store.Key]bool)
	var minute uint32
	err = r.All(context.Background(), func(r store.Record) error {
		if listed[r.Key] || minuteOf(r.Expires) < minute {
			g.Errorf("%v is listed before: %v; or the minute %d", r.Key, listed[r.Key], minute)
		}
		listed[r.Key], minute = true, minuteOf(r.Expires)
		if !r.Expires.After(g.now()) {
			return nil
		}
		return g.differs("listed", g.there, r)
	})
	if err := errors.Join(err, r.Close()); err != nil {
		g.Fatal(err)
	}
	for key, r := range g.there {
		if r.State != store.Absent && r.Expires.After(g.now()) && !listed[key] {
			g.Errorf("%v is not listed", key)
		}
	}
}

// differs says how a record differs from what is expected of it.
func (g *groups) differs(when string, expected map[store.Key]store.Record, got store.Record) error {
	want := expected[got.Key]
	if want.State != store.InProgress && !want.Expires.After(g.now()) {
		want = store.Record{}
	}
	if got.State != want.State || got.Attempts != want.Attempts || !got.Expires.Equal(want.Expires) || got.Digest != want.Digest ||
		want.State != store.Absent && got.Token != want.Token || got.Retained && got.Size != len(got.Payload) {
		return integrity.Damaged("%s %v is %v with token %d, attempts %d; want %v, %d, %d", when, got.Key, got.State, got.Token, got.Attempts,
			want.State, want.Token, want.Attempts)
	}
	return nil
}

// operation does something to a record that is possible in its state.
func (g *groups) operation() *op {
	key := numbered(rapid.IntRange(0, groupKeys-1).Draw(g.T, "key"))
	kind := rapid.IntRange(0, 9).Draw(g.T, "kind")
	size := rapid.SampledFrom([]int{0, 10, 400, 3000, largeRecord}).Draw(g.T, "size")
	retention := rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Hour, 2 * time.Hour}).Draw(g.T, "retention")
	result := store.Result{State: store.Parked, Payload: make([]byte, size)}
	claim := claimOf(key)
	claim.Unpark, claim.Retention = true, retention
	o := &op{name: "step", placed: kind == 1 || kind == 9}
	o.apply = func(b *batch) error {
		e, err := b.load(key)
		if err == nil {
			err = g.differs("before", g.changed, e.Record)
		}
		switch {
		case err != nil:
		case kind == 0:
			return nil
		case kind == 1:
			_, _, _, err = b.sweep(place{})
		case kind == 2:
			_, err = b.bury(claim)
		case e.State != store.InProgress:
			_, _, err = b.claim(claim)
		case kind == 3:
			err = b.abandon(key, e.Token, store.AttemptEnd(size%3))
		default:
			err = b.complete(key, e.Token, result, retention)
		}
		for _, key := range []store.Key{key, key.Tombstone(claim.Fingerprint)} {
			if err == nil {
				e, err = b.load(key)
				g.changed[key] = e.Record
			}
		}
		if err == nil && kind == 9 {
			o.failure, err = errOwn, errFunction
		}
		return err
	}
	return o
}

// commit commits some operations as one, and compares all records with what they say.
func (g *groups) commit() {
	ops := []*op{{name: "begin", apply: func(*batch) error {
		g.changed = maps.Clone(g.there) // again, if the function of one of the others fails
		return nil
	}}}
	for range rapid.IntRange(1, 25).Draw(g.T, "operations") {
		ops = append(ops, g.operation())
	}
	end := rapid.IntRange(0, 5).Draw(g.T, "end")
	fails := end == 0
	if end == 1 {
		g.unconfirmed(ops)
		g.compare()
		return
	}
	ops = append(ops, &op{name: "end", apply: func(*batch) error {
		if fails {
			return errOwn
		}
		return nil
	}})
	switch err := together(g.s, ops...); {
	case fails && errors.Is(err, errOwn):
	case !fails && err == nil:
		g.there = g.changed
	default:
		g.Fatalf("the commit: %v; it should fail: %v", err, fails)
	}
	g.compare()
}

// unconfirmed has a commit made of which the store believes that it has failed, as after
// a sync that did.
func (g *groups) unconfirmed(ops []*op) {
	g.s.committing.Lock()
	defer g.s.committing.Unlock()
	if err := g.s.recover(); err != nil {
		g.Fatal(err)
	}
	err := journal.ErrFull
	if !g.s.placed(ops) {
		var entry []byte
		var at int64
		if _, entry, at, err = g.s.collect(ops); err == nil {
			err = g.s.file.append(entry, at, g.s.db.Sync)
		}
	}
	if errors.Is(err, journal.ErrFull) {
		err = g.s.file.in(g.s.db.Update, func(tx *bbolt.Tx) error {
			_, _, err := g.s.transact(tx, g.s.journal.Keys(), ops)
			return err
		})
	}
	switch {
	case err == nil:
		g.there = g.changed
	case !errors.Is(err, errFunction) && !errors.Is(err, errNothing):
		g.Fatal(err)
	}
	g.s.unconfirmed.Store(true)
}

// compare compares all records with what they should be, and the journal with the file.
func (g *groups) compare() {
	for i := range groupKeys {
		r, err := g.s.Get(context.Background(), numbered(i))
		if err == nil {
			err = g.differs("after", g.there, r)
		}
		if err != nil {
			g.Fatal(err)
		}
	}
	if err := compareJournal(g.s); err != nil {
		g.Fatal(err)
	}
}

// Whatever operations share a commit, in whatever order, each sees what those before it
// did, and what is committed, and nothing else, is there after: when functions of some fail,
// when all are rolled back, and when the file is opened again, with a journal or without.
func TestGroupsDoWhatTheirOperationsSay(t *testing.T) {
	t.Parallel()
	dir, files := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		files++
		g := &groups{T: rt, path: filepath.Join(dir, fmt.Sprint(files)), there: make(map[store.Key]store.Record)}
		g.open()
		defer func() {
			_ = g.s.Close()       // it is closed twice if it was not reopened
			_ = os.Remove(g.path) // nothing needs it any more
		}()
		for range rapid.IntRange(1, 6).Draw(rt, "groups") {
			g.commit()
			switch rapid.IntRange(0, 3).Draw(rt, "then") {
			case 0:
				g.ahead += 61 * time.Minute
			case 1:
				g.reopen()
			}
		}
		g.reopen()
	})
}
