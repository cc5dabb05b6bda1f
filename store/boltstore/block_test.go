package boltstore

import (
	"bytes"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

// A block of the disk that is lost, as the machine failed when it was written, has the entry
// that was being written, and no other.
func TestBlockThatIsLostHasOneEntry(t *testing.T) {
	t.Parallel()
	const records = 12
	path := newPath(t)
	content, area, entries := journaledFile(t, path, records)
	begin := (area + int64(entries[records-1])) / journalBlock * journalBlock
	clear(content[begin : begin+journalBlock])
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{SweepEvery: -1})
	for i := range records {
		want := store.Interrupted
		if i == records-1 {
			want = store.Absent
		}
		if got := stateOf(t, s, numbered(i)); got != want {
			t.Errorf("call %d is %v; want %v", i, got, want)
		}
	}
}

// If the meta page that counts is damaged, bbolt goes back to the one before. What is in the
// journal since is not lost with it, or it is found that it is.
func TestJournalOutlivesTheLastMetaPage(t *testing.T) {
	t.Parallel()
	again := func(before, now Options) func(*testing.T, string) *Store {
		return func(t *testing.T, path string) *Store {
			t.Helper()
			s := open(t, path, before)
			must(t, s, numbered(-1))
			shut(t, s)
			return open(t, path, now)
		}
	}
	usual := Options{SweepEvery: -1}
	for name, begin := range map[string]func(*testing.T, string) *Store{
		"a new file":           func(t *testing.T, path string) *Store { t.Helper(); return open(t, path, usual) },
		"opened again":         again(usual, usual),
		"with another size":    again(Options{SweepEvery: -1, SizeLimit: 16 << 20}, usual),
		"with a journal again": again(Options{SweepEvery: -1, NoJournal: true}, usual),
		"its area was moved": func(t *testing.T, path string) *Store {
			t.Helper()
			s := open(t, path, usual)
			r := must(t, s, numbered(-1))
			err := s.Transact(t.Context(), r.Key, r.Token, time.Hour, touchJournal)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := begin(t, path)
			for i := range 10 {
				must(t, s, numbered(i))
			}
			txid, pageSize := s.durable.Load(), s.file.pageSize.Load()
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			content[int64(txid%metaPages)*pageSize+40] ^= 0x10
			path += ".damaged"
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = Open(path, usual)
			if err != nil {
				if !closedOver(err, path) {
					t.Errorf("Open: %v", err)
				}
				return
			}
			defer shut(t, s)
			for i := range 10 {
				if state := stateOf(t, s, numbered(i)); state != store.Interrupted {
					t.Errorf("call %d is %v", i, state)
				}
			}
		})
	}
}

// A compacted file has nothing of records that were forgotten, in the journal either.
func TestCompactedFileHasNoForgottenPayload(t *testing.T) {
	t.Parallel()
	path, to := newPath(t), newPath(t)
	var ahead atomic.Int64
	s := open(t, path, Options{SweepEvery: -1, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	secret, kept := []byte("the number of a card"), []byte("what is remembered")
	end := func(i int, payload []byte, retention time.Duration) {
		r := must(t, s, numbered(i))
		if err := s.Complete(t.Context(), r.Key, r.Token, store.Result{State: store.Completed, Payload: payload}, retention); err != nil {
			t.Fatal(err)
		}
	}
	end(2, kept, 24*time.Hour)
	end(1, secret, time.Hour)
	ahead.Store(int64(2 * time.Hour))
	if n, err := s.Sweep(t.Context()); err != nil || n != 1 {
		t.Fatalf("Sweep: %d, error %v", n, err)
	}
	must(t, s, numbered(3)) // where an entry of call 2 was
	abandoned(t, s)
	if err := Compact(path, to); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, secret) || !bytes.Contains(content, kept) {
		t.Errorf("the compacted file has what is forgotten: %v, and what is not: %v", bytes.Contains(content, secret), bytes.Contains(content, kept))
	}
	if report, err := Check(t.Context(), to); err != nil || len(report.Findings) > 0 || report.Records != 2 {
		t.Errorf("Check: %+v, error %v", report, err)
	}
	s = open(t, to, Options{SweepEvery: -1})
	if state := stateOf(t, s, numbered(3)); state != store.Interrupted {
		t.Errorf("what was in the journal is %v", state)
	}
}
