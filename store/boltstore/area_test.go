package boltstore

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// journaledFile returns the content of a file whose journal has some entries, where its area
// lies, and where in that the entries begin, and the last one ends.
func journaledFile(t *testing.T, path string, records int) (content []byte, area int64, entries []int) {
	t.Helper()
	s := open(t, path, Options{SweepEvery: -1})
	for i := range records {
		must(t, s, numbered(i))
		last, offset := s.journal.Last()
		if i == 0 || offset > 0 {
			entries = append(entries, offset)
		}
		if i == records-1 {
			entries = append(entries, offset+len(last))
		}
	}
	area = s.area
	abandoned(t, s)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, area, entries
}

// What of the journal is not as it was written is found. The last entry is taken for one of
// which the write was cut off: nobody was told that it was made.
func TestDamagedJournalIsFound(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	const records = 4
	content, area, entries := journaledFile(t, path, records)
	if len(entries) != records+1 {
		t.Fatalf("the entries are at %v", entries)
	}
	last := entries[records-1]
	// Each byte in one of so many runs.
	const step = 23
	for at := rand.IntN(step); at < entries[records]; at += step {
		if begin := at / journalBlock * journalBlock; begin < last && at > begin+1000 { // it is behind an entry
			at = begin + journalBlock
		}
		damaged := slices.Clone(content)
		damaged[area+int64(at)] ^= 0x10
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{SweepEvery: -1})
		if at >= last {
			if err != nil {
				t.Fatalf("byte %d, of the last entry: %v", at, err)
			}
			for i := range records {
				want := store.Interrupted
				if i == records-1 {
					want = store.Absent
				}
				if got := stateOf(t, s, numbered(i)); got != want {
					t.Errorf("byte %d, of the last entry: record %d is %v", at, i, got)
				}
			}
			shut(t, s)
			continue
		}
		if err == nil && !between(entries, content[area:], at) || err != nil && !closedOver(err, path) {
			t.Errorf("byte %d: Open: %v", at, err)
		}
		if err == nil {
			abandoned(t, s)
		}
		report, checkErr := Check(t.Context(), path)
		if checkErr != nil || (len(report.Findings) > 0) != (err != nil) {
			t.Errorf("byte %d: Check: %v, error %v", at, report.Findings, checkErr)
		}
	}
}

// between reports whether a byte of the area lies behind one entry and before the next.
func between(entries []int, area []byte, at int) bool {
	i, _ := slices.BinarySearch(entries, at+1)
	begin := entries[i-1]
	return at >= begin+int(binary.BigEndian.Uint32(area[begin+4:]))
}

// A journal is of one file: in another one it is nothing that could be taken for its own.
func TestJournalOfAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	path, other := newPath(t), newPath(t)
	_, from, _ := journaledFile(t, other, 2)
	content, area, entries := journaledFile(t, path, 3)
	theirs, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[area:], theirs[from:from+int64(entries[2])])
	clear(content[area+int64(entries[2]) : area+int64(entries[3])])
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !closedOver(err, path) {
		t.Errorf("Open: %v", err)
	}
}

// bbolt leaves the area's pages where they are, whatever else it writes.
func TestAreaStaysWhereItIs(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{SweepEvery: -1})
	where := func() (offset int64, size int) {
		t.Helper()
		err := s.db.View(func(tx *bbolt.Tx) (err error) {
			offset, size, err = s.file.areaOf(tx)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return offset, size
	}
	offset, size := where()
	if offset%4096 != 0 || size != maxJournalBytes || offset != s.area {
		t.Errorf("the area has %d bytes at %d; the store knows of %d", size, offset, s.area)
	}
	for i := range 5 {
		fill(t, s, 300*i, 300*(i+1))
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := s.db.Update(func(tx *bbolt.Tx) error { return effect(tx, numbered(i)) })
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := where(); again != offset {
			t.Errorf("the area was at %d, and is at %d", offset, again)
		}
	}
}
