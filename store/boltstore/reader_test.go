package boltstore

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

func TestReaderHasWhatTheStoreHad(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{SweepEvery: -1})
	const records = 300
	fill(t, s, 0, records)
	want := make(map[store.Key]store.Record)
	for i := range records {
		r, err := s.Get(t.Context(), numbered(i))
		if err != nil {
			t.Fatal(err)
		}
		want[r.Key] = r
	}
	size := s.used()
	abandoned(t, s) // with some records in the journal
	reader, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}()
	compare := func(r store.Record) {
		w := want[r.Key]
		if w.State == store.InProgress {
			w.State = store.Interrupted
		}
		if r.State != w.State || r.Token != w.Token || string(r.Payload) != string(w.Payload) || !r.Expires.Equal(w.Expires) || r.Owner != w.Owner {
			t.Errorf("it reads %+v; want %+v", r, w)
		}
	}
	n := 0
	err = reader.All(t.Context(), func(r store.Record) error {
		n++
		compare(r)
		return nil
	})
	if err != nil || n != records {
		t.Errorf("All: %d records, error %v", n, err)
	}
	if err := reader.All(t.Context(), func(store.Record) error { return errOwn }); !errors.Is(err, errOwn) {
		t.Errorf("All with a function that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reader.All(ctx, func(store.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("All with a context that has ended: %v", err)
	}
	for key := range want {
		r, err := reader.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		compare(r)
	}
	if r, err := reader.Get(t.Context(), numbered(-1)); err != nil || r.State != store.Absent {
		t.Errorf("Get of what is absent: %v, error %v", r.State, err)
	}
	stats, err := reader.Stats(t.Context())
	if err != nil || stats.Records[store.Interrupted] != records/2 || stats.Records[store.Completed] != records/2 || stats.Size != size {
		t.Errorf("Stats: %+v, error %v; the store had %d bytes in use", stats, err, size)
	}
	if epoch, err := reader.Epoch(); err != nil || epoch != 1 {
		t.Errorf("epoch %d, error %v", epoch, err)
	}
}

func TestReaderOfWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	makeDatabase(t, path, func(*bbolt.Tx) error { return nil })
	reader, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := reader.Stats(t.Context())
	if err != nil || stats.Total() != 0 {
		t.Errorf("Stats: %+v, error %v", stats, err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	var unavailable *store.UnavailableError
	if _, err := OpenReadOnly(path + ".not.there"); !errors.As(err, &unavailable) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenReadOnly of nothing: %v", err)
	}
}

func TestCompactKeepsAllAndIsSmaller(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	now := time.Now()
	s := open(t, path, Options{SweepEvery: -1, Now: func() time.Time { return now }})
	fill(t, s, 0, 1000)
	if err := s.db.Update(func(tx *bbolt.Tx) error { return effect(tx, numbered(8)) }); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Hour)
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, s, numbered(8))
	shut(t, s)
	dst := path + ".compact"
	if err := Compact(path, dst); err != nil {
		t.Fatal(err)
	}
	if err := Compact(path, dst); !errors.Is(err, os.ErrExist) {
		t.Errorf("Compact to a file that is there: %v", err)
	}
	if before, after := sizeOf(path), sizeOf(dst); after*2 > before {
		t.Errorf("it has %d of %d bytes", after, before)
	}
	report, err := Check(t.Context(), dst)
	if err != nil || len(report.Findings) > 0 || report.Records != 501 {
		t.Errorf("Check: %+v, error %v", report, err)
	}
	s = open(t, dst, Options{SweepEvery: -1, Now: func() time.Time { return now }})
	if s.Owner() != "epoch 2" || !hasEffect(t, s, numbered(8)) || stateOf(t, s, numbered(8)) != store.Interrupted {
		t.Errorf("the compact file is of %s, its record is %v", s.Owner(), stateOf(t, s, numbered(8)))
	}
	must(t, s, numbered(10)) // and its sequence goes on
}

// Check compares what bbolt finds in order with what the store has written.
func TestCheckComparesRecordsIndexAndCounts(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{SweepEvery: -1})
	fill(t, s, 0, 20)
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // in the journal
		complete(t, s, must(t, s, numbered(100+i)))
	}
	r, p := stored{}, place{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		table, err := tableOf(tx)
		if err == nil {
			r, _, err = table.find(numbered(3))
		}
		if err == nil {
			p, err = table.locate(r.Key)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	abandoned(t, s)
	if report, err := Check(t.Context(), path); err != nil || len(report.Findings) > 0 || report.Records != 23 {
		t.Fatalf("Check: %+v, error %v", report, err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(t table) error{
		"is not in the index":     func(t table) error { return t.index.Delete(r.Key[:]) },
		"there is no such record": func(t table) error { return t.records.Delete(p[:]) },
		"its checksum is wrong": func(t table) error {
			return t.records.Put(p[:], integrity.Seal(make([]byte, len(p)), encodeRecord(&r)))
		},
		"expires at another time": func(t table) error {
			late := r
			late.Expires = late.Expires.Add(time.Hour)
			return t.records.Put(p[:], integrity.Seal(p[:], encodeRecord(&late)))
		},
		"later epoch": func(t table) error {
			late := r
			late.epoch = 9
			return t.records.Put(p[:], integrity.Seal(p[:], encodeRecord(&late)))
		},
		"records by state": func(t table) error {
			h, err := t.head()
			h.epoch++ // so that it is later than that of the journal
			h.counts[store.Parked]++
			return errors.Join(err, t.root.Put(headKey, h.encode()))
		},
		"has no place":         func(t table) error { return t.records.Put([]byte("nowhere"), nil) },
		"the head of the file": func(t table) error { return t.root.Put(headKey, []byte("off with its head")) },
		"the journal's area is not where": func(t table) error {
			return t.area.Put([]byte("another"), nil)
		},
		"a bucket of the store": func(t table) error {
			return t.tx.DeleteBucket(indexKey)
		},
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		makeDatabase(t, path, func(tx *bbolt.Tx) error {
			table, err := tableOf(tx)
			return errors.Join(err, table.open(), change(table))
		})
		report, err := Check(t.Context(), path)
		if err != nil || !strings.Contains(strings.Join(report.Findings, "\n"), want) {
			t.Errorf("Check found %q, error %v; want %q", report.Findings, err, want)
		}
	}
}
