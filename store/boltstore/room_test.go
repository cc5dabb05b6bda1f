package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/chaos/disk"
)

func TestErrorsThatSayThatTheFileCannotGrow(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		&os.PathError{Op: "write", Path: "store.db", Err: syscall.ENOSPC}: true,
		fmt.Errorf("write: %w", syscall.EDQUOT):                           true,
		fmt.Errorf("file resize error: %s", syscall.EFBIG):                true, //nolint:errorlint // as bbolt does
		syscall.EIO:            false,
		errors.New("no store"): false,
	} {
		if noRoom(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}

// What waits for room keeps new calls out until it has been recorded, or the disk has
// room that it did not have, or nobody has tried again for long: whatever the file system
// says, that is not for ever.
func TestCallsBeginAgainOnceTheirEndsMayFit(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{SweepEvery: -1})
	small, large := &op{ends: true, weight: 10}, &op{ends: true, weight: 1000}
	stale := &op{ends: true, weight: 5000, own: store.ErrStale}
	refused := func(when string, want bool) {
		t.Helper()
		if err := s.room(); (err != nil) != want || want && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", when, err)
		}
	}
	s.committing.Lock()
	defer s.committing.Unlock()
	s.noteUnrecorded([]*op{stale, {weight: 1}}, syscall.ENOSPC)
	refused("no end has failed", false)
	s.noteUnrecorded([]*op{small, large, small}, syscall.ENOSPC)
	s.unrecorded.had -= 1000
	refused("on a disk that says that it has room, as it did", true)
	s.noteRecorded([]*op{small, stale})
	refused("less was recorded", true)
	s.noteRecorded([]*op{large})
	refused("as much was recorded", false)
	s.noteUnrecorded([]*op{large}, syscall.ENOSPC)
	s.unrecorded.had -= 1 << 30 // others may write to the same disk
	refused("the disk has more room", false)
	s.noteUnrecorded([]*op{large}, syscall.ENOSPC)
	s.unrecorded.since = time.Now().Add(-tightFor)
	s.noteUnrecorded([]*op{small}, syscall.ENOSPC)
	refused("another has tried", true)
	s.unrecorded.since = time.Now().Add(-tightFor)
	refused("nobody tries again", false)
}

// What a transaction was to record counts, as far as it is kept.
func TestEndOfATransactionWithoutRoomKeepsCallsOut(t *testing.T) {
	t.Parallel()
	dir := disk.MountTmpfs(t, 6<<20)
	s := open(t, filepath.Join(dir, "store.db"), Options{SweepEvery: -1, MaxPayload: 300_000})
	r := must(t, s, numbered(1))
	free, _ := freeOn(dir)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, free-150_000), 0o600); err != nil {
		t.Fatal(err)
	}
	end := func(size int) error {
		return s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(*bbolt.Tx) (store.Result, error) {
			return store.Result{State: store.Completed, Payload: make([]byte, size)}, nil
		})
	}
	claim := func() error {
		_, _, err := s.Claim(context.Background(), claimOf(numbered(2)))
		return err
	}
	if err := end(300_000); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Transact: %v", err)
	}
	s.committing.Lock()
	if s.unrecorded == nil || s.unrecorded.bytes != 300_000 {
		t.Errorf("what waits is %+v", s.unrecorded)
	}
	s.committing.Unlock()
	if err := claim(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Claim: %v", err)
	}
	if err := end(300_001); err != nil {
		t.Errorf("what is too large to be kept: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := claim(); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// On a disk that is almost full the ends of calls are recorded, although there is no room
// to flush much of the journal, and sweeps make room.
func TestEndsAreRecordedWhereNotMuchCanBeFlushed(t *testing.T) {
	t.Parallel()
	const keys, journal = 12_000, 1000
	var now atomic.Int64
	now.Store(time.Now().Unix())
	dir := disk.MountTmpfs(t, 32<<20)
	s := open(t, filepath.Join(dir, "store.db"), Options{
		SweepEvery: -1, journalVersions: journal, Now: func() time.Time { return time.Unix(now.Load(), 0) },
	})
	for n := 0; n < keys; {
		var ops []*op
		for range 500 {
			c := claimOf(numbered(n))
			ops = append(ops, &op{name: "claim", apply: func(b *batch) error {
				_, _, err := b.claim(c)
				return err
			}})
			n++
		}
		if err := together(s, ops...); err != nil {
			t.Fatal(err)
		}
	}
	free, _ := freeOn(dir)
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, free-200<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	end := func(i int, fn func(*bbolt.Tx) error) {
		r, err := s.Get(t.Context(), numbered(i*7919%keys)) // each lies in another page than the one before
		switch {
		case err != nil:
		case fn == nil:
			err = s.Complete(t.Context(), r.Key, r.Token, done, time.Hour)
		default:
			err = s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(tx *bbolt.Tx) (store.Result, error) { return done, fn(tx) })
		}
		if err != nil {
			t.Fatalf("call %d, with %d bytes free in the file: %v", i, s.free(), err)
		}
	}
	i := 0
	for ; s.free() > 700<<10; i++ {
		end(i, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(effects)
			for n := range 20 {
				err = errors.Join(err, b.Put(binary.BigEndian.AppendUint32(nil, uint32(100*i+n)), make([]byte, 3000)))
			}
			return err
		})
	}
	for last := i + 2*journal; i < last; i++ {
		end(i, nil)
		if !s.tight.IsZero() {
			last = min(last, i+100)
		}
	}
	if s.tight.IsZero() || s.unrecorded != nil {
		t.Errorf("there was room for all; what waits is %+v", s.unrecorded)
	}
	now.Add(int64(2 * time.Hour / time.Second))
	before := s.free()
	if n, err := s.Sweep(t.Context()); err != nil || n != i || s.free() < before {
		t.Errorf("Sweep: %d of %d, error %v; %d bytes are free, and %d were", n, i, err, s.free(), before)
	}
	sameJournal(t, s)
}
