package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/chaos/disk"
	"github.com/warren-rpc/warren/test/patience"
)

// A disk without room fails what cannot be written, loses nothing that was
// answered, and the store works again once there is room.
func TestFullDiskLosesNothingAndIsOvercome(t *testing.T) {
	t.Parallel()
	inBothSettings(t, overcomeFullDisk)
}

func overcomeFullDisk(t *testing.T, o Options) {
	dir := disk.MountTmpfs(t, 7<<20)
	path := filepath.Join(dir, "store.db")
	s := open(t, path, o)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var unavailable *store.UnavailableError
	completed := make(map[store.Key]bool) // false: it ended in an error
	work := func(i int) error {
		r, won, err := s.Claim(context.Background(), claimOf(numbered(i)))
		if err != nil {
			return err
		}
		if !won {
			return fmt.Errorf("claim %d was not won", i)
		}
		result := store.Result{State: store.Completed, Payload: make([]byte, 8000)}
		err = s.Complete(context.Background(), r.Key, r.Token, result, time.Hour)
		completed[r.Key] = err == nil
		return err
	}
	failures, unrecorded := 0, 0
	for i := 0; failures < 20; i++ {
		if err := work(i); err != nil {
			failures++
			if !errors.As(err, &unavailable) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("call %d on a full disk: %v", i, err)
			}
			if unavailable.Op != "claim" && unavailable.Op != "complete" {
				t.Errorf("what failed is named %q", unavailable.Op)
			}
			if unavailable.Op == "complete" {
				unrecorded++
			}
		}
		if i > 2000 {
			t.Fatal("the disk does not fill up")
		}
	}
	// Claims would find room for longer, of calls whose ends do not.
	if unrecorded > 3 {
		t.Errorf("%d calls were begun that could not be recorded", unrecorded)
	}
	compare := func(when string) {
		t.Helper()
		for key, answered := range completed {
			if r, err := s.Get(t.Context(), key); err != nil || answered && (r.State != store.Completed || len(r.Payload) != 8000) {
				t.Errorf("%s a call that was completed is %v, error %v", when, r.State, err)
			}
		}
	}
	compare("on a full disk")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for i := 10_000; i < 10_020; i++ {
		if err := work(i); err != nil {
			t.Errorf("with room again: %v", err)
		}
	}
	compare("with room again")
	shut(t, s)
	report, err := Check(t.Context(), path)
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("Check: %v, error %v", report.Findings, err)
	}
	s = open(t, path, o)
	compare("opened again")
}

// bbolt is left without its mapping of the file when that cannot grow. Closing it
// has the same effect.
func TestDatabaseThatLostItsMappingIsOpenedAgain(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{SweepEvery: -1})
	r := must(t, s, numbered(1))
	closeBelow(t, s)
	var unavailable *store.UnavailableError
	if err := s.Complete(t.Context(), r.Key, r.Token, done, time.Hour); !errors.As(err, &unavailable) {
		t.Errorf("Complete: %v", err)
	}
	complete(t, s, r)
	if state := stateOf(t, s, r.Key); state != store.Completed {
		t.Errorf("the record is %v", state)
	}
}

func closeBelow(t *testing.T, s *Store) {
	t.Helper()
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A database that cannot be opened again yet is tried again with each change, and does
// no harm meanwhile.
func TestDatabaseIsOpenedAgainAsSoonAsThatWorks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "there")
	away := dir + ".away"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "store.db"), Options{SweepEvery: -1})
	r := must(t, s, numbered(1))
	closeBelow(t, s)
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	var unavailable *store.UnavailableError
	for range 3 {
		if err := s.Complete(t.Context(), r.Key, r.Token, done, time.Hour); !errors.As(err, &unavailable) {
			t.Errorf("Complete: %v", err)
		}
		if _, err := s.Get(t.Context(), r.Key); !errors.As(err, &unavailable) {
			t.Errorf("Get: %v", err)
		}
		if stats, err := s.Stats(t.Context()); err != nil || stats.Total() != 1 {
			t.Errorf("Stats: %+v, error %v", stats, err)
		}
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	complete(t, s, r)
	if state := stateOf(t, s, r.Key); state != store.Completed {
		t.Errorf("the record is %v", state)
	}
	sameJournal(t, s)
}

// A store that had to open its file again, and finds that another has had it
// meanwhile, has lost its claims, and ends.
func TestStoreWhoseFileWasTakenEnds(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{SweepEvery: -1})
	r := must(t, s, numbered(1))
	closeBelow(t, s)
	shut(t, open(t, path, Options{SweepEvery: -1}))
	if err := s.Complete(t.Context(), r.Key, r.Token, done, time.Hour); err == nil {
		t.Error("a closed file was written")
	}
	var held *store.HeldError
	for range 2 {
		if err := s.Complete(t.Context(), r.Key, r.Token, done, time.Hour); !errors.As(err, &held) {
			t.Errorf("Complete: %v", err)
		}
	}
}

// Nothing is shown before the disk has confirmed it: as long as it is not known
// whether it did, a reader has the next commit find out.
func TestGetDoesNotShowWhatTheDiskHasNotConfirmed(t *testing.T) {
	t.Parallel()
	var commits atomic.Int32
	s := open(t, newPath(t), Options{SweepEvery: -1, OnCommit: func(Commit) { commits.Add(1) }})
	r := must(t, s, numbered(1))
	complete(t, s, r)
	patience.Eventually(t, "both commits", func() bool { return commits.Load() == 2 })
	if stateOf(t, s, r.Key) != store.Completed || commits.Load() != 2 {
		t.Errorf("a Get of what is confirmed took part in a commit")
	}
	s.durable.Add(^uint64(0)) // as during the last sync of a commit
	if stateOf(t, s, r.Key) != store.Completed {
		t.Error("Get has lost a record")
	}
	patience.Eventually(t, "the reader's commit", func() bool { return commits.Load() == 3 })
}

func TestNewRecordsAreRefusedWhileSweepsCanMakeRoom(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	s := open(t, newPath(t), Options{
		SizeLimit: 1 << 20, SweepEvery: -1, Now: func() time.Time { return time.Unix(0, now.Load()) },
	})
	first, second := must(t, s, numbered(-1)), must(t, s, numbered(-2))
	large := store.Result{State: store.Completed, Payload: make([]byte, 300_000)}
	var full *store.FullError
	for i := 0; ; i++ {
		r, _, err := s.Claim(t.Context(), claimOf(numbered(i)))
		if errors.As(err, &full) {
			break
		}
		if err != nil || i > 100 {
			t.Fatalf("claim %d: %v", i, err)
		}
		if err := s.Complete(t.Context(), r.Key, r.Token, large, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if full.Limit != 1<<20 || full.Size < 800_000 || full.RetryAfter != time.Minute {
		t.Errorf("refused by %+v", full)
	}
	if _, err := s.Bury(t.Context(), claimOf(numbered(-3))); !errors.As(err, &full) {
		t.Errorf("Bury of what is absent: %v", err)
	}
	for _, r := range []store.Record{first, second} {
		if err := s.Complete(t.Context(), r.Key, r.Token, large, time.Hour); err != nil {
			t.Errorf("Complete in a full store: %v", err)
		}
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Size <= stats.Limit {
		t.Errorf("it has %d bytes of %d in use, error %v", stats.Size, stats.Limit, err)
	}
	now.Add(int64(2 * time.Hour))
	if n, err := s.Sweep(t.Context()); err != nil || n != stats.Total() {
		t.Errorf("Sweep: %d of %d, error %v", n, stats.Total(), err)
	}
	must(t, s, numbered(-4))
}
