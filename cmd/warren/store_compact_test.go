//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
)

// newSparseFile returns a file with the calls of newStoreFile and many free pages.
func newSparseFile(t testing.TB) string {
	t.Helper()
	path := newStoreFile(t)
	now := time.Now().Add(-48 * time.Hour)
	s, err := boltstore.Open(path, boltstore.Options{SweepEvery: -1, SweepBatch: 10_000, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for id := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		scope := scopeOf(id)
		r, won, err := s.Claim(t.Context(), store.Claim{
			Key: scope.Key(), Method: scope.Method, CallID: id, Lease: time.Second, Retention: time.Hour,
		})
		if err != nil || !won {
			t.Fatalf("won %v, %v", won, err)
		}
		result := store.Result{State: store.Completed, Payload: make([]byte, 1<<20)}
		if err := s.Complete(t.Context(), r.Key, r.Token, result, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	// They alone are past their retention now.
	now = now.Add(24 * time.Hour)
	if n, err := s.Sweep(t.Context()); err != nil || n != 26 {
		t.Fatalf("%d were swept, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	n, err := fileSize(path)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStoreCompactReplacesTheFileByAWholeOne(t *testing.T) {
	t.Parallel()
	path := newSparseFile(t)
	owner := os.Getuid()
	if owner == 0 {
		owner = 4711 // only root gives files away
	}
	for _, err := range []error{os.Chmod(path, 0o640), os.Chown(path, owner, -1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	exported := invokeStore(t, "export", path).want(t, 0).stdout.String()
	before := size(t, path)

	object := wantKeys(t, invokeStore(t, "compact", "--json", link).want(t, 0).object(t), "file", "records", "bytes_before", "bytes_after")
	after := size(t, path)
	if object["records"] != float64(storedRecords) || object["bytes_before"] != float64(before) || object["bytes_after"] != float64(after) ||
		after > before/4 {
		t.Errorf("compact says %v; the file had %d bytes and has %d", object, before, after)
	}
	if got := invokeStore(t, "export", path).want(t, 0).stdout.String(); got != exported {
		t.Errorf("it held %s\nand holds %s", exported, got)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != owner || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v of another owner than %d", info.Mode(), owner)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link has become %v, %v", info, err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// A server goes on with it.
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStoreCompactToAnotherFileLeavesTheFirst(t *testing.T) {
	t.Parallel()
	path := newSparseFile(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := path + ".new"
	r := invokeStore(t, "compact", path, "--to", to).want(t, 0)
	if told := r.wantLine(t); !strings.Contains(r.stdout.String(), to+": 10 records, ") || !strings.Contains(told, "only one") {
		t.Errorf("compact says %q, and on standard error %q", r.stdout.String(), told)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
		t.Errorf("the file was changed, %v", err)
	}
	invokeStore(t, "check", to).want(t, 0)
	if line := invokeStore(t, "compact", path, "--to", to).want(t, exitInternal).wantLine(t); !strings.Contains(line, "is there already") {
		t.Errorf("standard error: %q", line)
	}
	invokeStore(t, "check", to).want(t, 0)
}

func TestStoreCompactKeepsAwayFromAnother(t *testing.T) {
	t.Parallel()
	path := newStoreFile(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	temporary := path + ".compacting"
	if err := os.WriteFile(temporary, []byte("of another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if line := invokeStore(t, "compact", path).want(t, exitInternal).wantLine(t); !strings.Contains(line, temporary+" is there already") {
		t.Errorf("standard error: %q", line)
	}
	if b, err := os.ReadFile(temporary); err != nil || string(b) != "of another" {
		t.Errorf("the file of the other is %q, %v", b, err)
	}
	// A file that was replaced since it was read keeps its place.
	first, err := os.Stat(temporary)
	if err != nil {
		t.Fatal(err)
	}
	if err := takePlace(temporary, path, first); err == nil || !strings.Contains(err.Error(), "was replaced meanwhile") {
		t.Errorf("it took the place: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
		t.Errorf("the file was changed, %v", err)
	}
}

// Whenever it is killed, the file is whole.
func TestStoreCompactIsKilledWithoutHarm(t *testing.T) {
	t.Parallel()
	path := newSparseFile(t)
	exported := invokeStore(t, "export", path).want(t, 0).stdout.String()
	first, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, reached := range []func() bool{
		func() bool { _, err := os.Stat(path + ".compacting"); return err == nil },
		func() bool { now, err := os.Stat(path); return err == nil && !os.SameFile(first, now) },
	} {
		r := command("", "store", "compact", path).start(t)
		for ended := false; !ended && !reached(); {
			select {
			case <-r.done:
				ended = true
			default:
			}
		}
		_ = r.cmd.Process.Kill()
		r.wait(t)
		invokeStore(t, "check", path).want(t, 0)
		if got := invokeStore(t, "export", path).want(t, 0).stdout.String(); got != exported {
			t.Errorf("it held %s\nand holds %s", exported, got)
		}
		if err := ignoreMissing(os.Remove(path + ".compacting")); err != nil {
			t.Fatal(err)
		}
	}
}
