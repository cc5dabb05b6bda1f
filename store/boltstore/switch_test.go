package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/chaos/disk"
)

// A file may be opened with a journal and without one in turn. Each opening has all that
// those before it have written, and one without a journal leaves none.
func TestJournalCanBeSwitchedOffAndOnAgain(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	const each = 40
	for i, name := range []string{"journal", "no journal", "no journal", "journal", "no journal", "journal"} {
		s := open(t, path, settings[name])
		if name == "no journal" && s.journal.Versions() != 0 {
			t.Errorf("opening %d has left %d versions in the journal", i, s.journal.Versions())
		}
		for n := range i * each {
			want := store.Interrupted
			if n%2 == 0 {
				want = store.Completed
			}
			if got := stateOf(t, s, numbered(n)); got != want {
				t.Errorf("in opening %d record %d is %v; want %v", i, n, got, want)
			}
		}
		fill(t, s, i*each, (i+1)*each)
		for n := range 5 { // records that have a place change again
			if r, won, err := s.Claim(t.Context(), claimOf(numbered(2*n+1))); err != nil || won != (i > 0) || r.State != store.InProgress {
				t.Errorf("in opening %d record %d is %v, won %v, error %v", i, 2*n+1, r.State, won, err)
			}
		}
		fresh := must(t, s, numbered(-1-i))
		if err := s.Abandon(t.Context(), fresh.Key, fresh.Token, store.Undone); err != nil {
			t.Error(err)
		}
		if none := s.journal.Versions() == 0; none != (name == "no journal") {
			t.Errorf("in opening %d the journal has %d versions", i, s.journal.Versions())
		}
		sameJournal(t, s)
		shut(t, s)
		if report, err := Check(t.Context(), path); err != nil || len(report.Findings) > 0 || report.Records != (i+1)*(each+1) {
			t.Errorf("Check after opening %d: %+v, error %v", i, report, err)
		}
	}
}

// An opening that has no room to flush the journal changes nothing.
func TestJournalThatCannotBeFlushedStays(t *testing.T) {
	t.Parallel()
	dir := disk.MountTmpfs(t, 10<<20)
	path := filepath.Join(dir, "store.db")
	s := open(t, path, settings["journal"])
	fill(t, s, 0, 100)
	each(3000, func(i int) { must(t, s, numbered(1000+i)) })
	versions := s.journal.Versions()
	abandoned(t, s)
	free, _ := freeOn(dir)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, free), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, settings["no journal"])
	if !errors.As(err, new(*store.UnavailableError)) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Open: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, settings["journal"])
	if s.journal.Versions() != versions {
		t.Errorf("the journal has %d versions, and had %d", s.journal.Versions(), versions)
	}
	abandoned(t, s)
	s = open(t, path, settings["no journal"])
	if got := stateOf(t, s, numbered(0)); got != store.Completed {
		t.Errorf("with room again the record is %v", got)
	}
}
