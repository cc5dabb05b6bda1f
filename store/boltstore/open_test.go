package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
	"github.com/warren-rpc/warren/test/chaos/disk"
	"github.com/warren-rpc/warren/test/patience"
)

func TestFileIsMadeForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	shut(t, s)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the file there are %v, error %v", entries, err)
	}
}

func TestEmptyDatabaseIsANewStore(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	makeDatabase(t, path, func(*bbolt.Tx) error { return nil })
	s := open(t, path, Options{})
	complete(t, s, must(t, s, numbered(1)))
	if s.Owner() != "epoch 1" {
		t.Errorf("the owner is %q", s.Owner())
	}
}

func makeDatabase(t *testing.T, path string, fn func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// What is not a store is refused, and is as it was.
func TestWhatIsNotAStoreIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	var corrupt *store.CorruptError
	var newer *store.VersionError
	var unavailable *store.UnavailableError
	for _, c := range []struct {
		name string
		make func(path string)
		want func(err error) bool
	}{
		{"a folder", func(path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { return strings.Contains(err.Error(), "is not a file") }},
		{"a pipe", func(path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { return strings.Contains(err.Error(), "is not a file") }},
		{"an empty file", func(path string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { return errors.As(err, &corrupt) && strings.Contains(err.Error(), "it is empty") }},
		{"text", func(path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("a letter to the editor\n", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { return errors.As(err, &corrupt) }},
		{"another database", func(path string) {
			makeDatabase(t, path, func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("recipes"))
				return err
			})
		}, func(err error) bool {
			return errors.Is(err, errForeign) && strings.Contains(err.Error(), "store.db has no bucket")
		}},
		{"a later version", func(path string) {
			shut(t, open(t, path, Options{}))
			makeDatabase(t, path, func(tx *bbolt.Tx) error {
				b := []byte{0, 0, 0, version + 1, 'n', 'e', 'w'}
				return tx.Bucket(bucketKey).Put(headKey, binary.BigEndian.AppendUint32(b, integrity.Sum(headKey, b)))
			})
		}, func(err error) bool {
			return errors.As(err, &newer) && newer.Have == version+1 && newer.Known == version
		}},
		{"an earlier version", func(path string) {
			makeDatabase(t, path, func(tx *bbolt.Tx) error {
				bucket, err := tx.CreateBucket(bucketKey)
				b := []byte{0, 0, 0, 1, 'o', 'l', 'd'}
				return errors.Join(err, bucket.Put(headKey, binary.BigEndian.AppendUint32(b, integrity.Sum(headKey, b))))
			})
		}, func(err error) bool { return errors.Is(err, errEarlier) && strings.Contains(err.Error(), "version 1") }},
		{"below a file", func(path string) {
			if err := os.WriteFile(filepath.Dir(path)+"/plain", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { return errors.As(err, &unavailable) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			c.make(path)
			if c.name == "below a file" {
				path = filepath.Join(filepath.Dir(path), "plain", "store.db")
			}
			read := func() string {
				if c.name == "a pipe" {
					return "" // nobody writes it
				}
				b, _ := os.ReadFile(path)
				return string(b)
			}
			before := read()
			_, err := Open(path, Options{})
			if err == nil || !c.want(err) {
				t.Errorf("Open: %v", err)
			}
			if read() != before {
				t.Error("the file has changed")
			}
		})
	}
}

func TestSecondOpeningIsToldWhoHasTheFile(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{})
	var held *store.HeldError
	if _, err := Open(path, Options{}); !errors.As(err, &held) || !strings.Contains(held.Holder, fmt.Sprintf("process %d, since 20", os.Getpid())) {
		t.Errorf("a second Open: %v", err)
	}
	if _, err := OpenReadOnly(path); !errors.As(err, &held) || held.Holder == "" {
		t.Errorf("OpenReadOnly: %v", err)
	}
	if _, err := Check(t.Context(), path); !errors.As(err, &held) {
		t.Errorf("Check: %v", err)
	}
	if err := Compact(path, path+".new"); !errors.As(err, &held) {
		t.Errorf("Compact: %v", err)
	}
	complete(t, s, must(t, s, numbered(1)))
	shut(t, s)
	if state := stateOf(t, open(t, path, Options{}), numbered(1)); state != store.Completed {
		t.Errorf("the record is %v", state)
	}
}

func TestOtherProcessIsNamedAndIsForgottenWhenItDies(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "the process works", func() bool { return sizeOf(path+".log") > 100 })
	var held *store.HeldError
	if _, err := Open(path, Options{}); !errors.As(err, &held) || !strings.Contains(held.Holder, fmt.Sprintf("process %d,", cmd.Process.Pid)) {
		t.Errorf("Open: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// Its note is still there. Who has the file now is another, which left none.
	reader, err := OpenReadOnly(path)
	if err != nil {
		t.Fatalf("OpenReadOnly after the holder was killed: %v", err)
	}
	if _, err := Open(path, Options{}); !errors.As(err, &held) || held.Holder != "" {
		t.Errorf("Open while it is read: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, Options{})
}

// A number that a later process has again is not that of the holder.
func TestNoteOfAProcessWithTheSameNumberDoesNotMislead(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	note := fmt.Sprintf("%d %s %s\n", os.Getpid(), time.Now().Format(time.RFC3339), "1")
	if err := os.WriteFile(holderPath(path), []byte(note), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readHolder(path); got != "" {
		t.Errorf("the holder is %q", got)
	}
}

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{SizeLimit: 1000}, {SizeLimit: -1}, {MaxPayload: 1 << 30}, {SweepBatch: -1}} {
		if s, err := Open(newPath(t), o); err == nil {
			shut(t, s)
			t.Errorf("%+v was accepted", o)
		}
	}
}

// Each opening takes what the one before has left in progress for interrupted, and
// counts it so without reading it.
func TestOpeningInterruptsWhatIsInProgress(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	for epoch := 1; epoch <= 3; epoch++ {
		s := open(t, path, Options{})
		must(t, s, numbered(epoch))
		stats, err := s.Stats(context.Background())
		if err != nil || stats.Records[store.InProgress] != 1 || stats.Records[store.Interrupted] != epoch-1 {
			t.Errorf("in epoch %d there are %v, error %v", epoch, stats.Records, err)
		}
		for i := 1; i < epoch; i++ {
			if r, err := s.Get(t.Context(), numbered(i)); err != nil || r.State != store.Interrupted || r.Owner != fmt.Sprintf("epoch %d", i) {
				t.Errorf("in epoch %d, what epoch %d has begun is %v of %q, error %v", epoch, i, r.State, r.Owner, err)
			}
		}
		shut(t, s)
	}
}

func TestReadOnlyFolderIsSaid(t *testing.T) {
	t.Parallel()
	dir := disk.MountTmpfs(t, 6<<20)
	shut(t, open(t, filepath.Join(dir, "store.db"), Options{}))
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("mounting needs root: %v", err)
	}
	for _, name := range []string{"store.db", "new.db"} {
		var unavailable *store.UnavailableError
		_, err := Open(filepath.Join(dir, name), Options{})
		if !errors.As(err, &unavailable) || !errors.Is(err, syscall.EROFS) {
			t.Errorf("Open of %s: %v", name, err)
		}
	}
	if r, err := OpenReadOnly(filepath.Join(dir, "store.db")); err != nil {
		t.Errorf("OpenReadOnly: %v", err)
	} else if err := r.Close(); err != nil {
		t.Error(err)
	}
}
