package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/warren-rpc/warren/store"
)

// linkless is os.Link of a file system that has no links.
func linkless(name, path string) error {
	return &os.LinkError{Op: "link", Old: name, New: path, Err: syscall.EPERM}
}

func TestNewFileIsMadeWithoutHardLinks(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if err := create(path, linkless); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{})
	complete(t, s, must(t, s, numbered(1)))
	shut(t, s)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the file there are %v, error %v", entries, err)
	}
}

// Whoever makes the file, with links or without, makes it once: a store that is there
// is never replaced.
func TestFileIsMadeOnce(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{})
	complete(t, s, must(t, s, numbered(1)))
	id := s.Identity()
	shut(t, s)
	var makers sync.WaitGroup
	for i := range 8 {
		makers.Go(func() {
			if err := create(path, []func(string, string) error{os.Link, linkless}[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	makers.Wait()
	again := open(t, path, Options{})
	if state := stateOf(t, again, numbered(1)); state != store.Completed || again.Identity() != id {
		t.Errorf("the record is %v, the store %v instead of %v", state, again.Identity(), id)
	}
}

func TestFileWithoutAByteIsDamagedToAll(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenReadOnly(path)
	if c := new(*store.CorruptError); !errors.As(err, c) {
		t.Errorf("OpenReadOnly: %v", err)
	}
	report, err := Check(t.Context(), path)
	if err != nil || len(report.Findings) != 1 {
		t.Errorf("Check: %v, error %v", report, err)
	}
}

// The note beside the file is a file of this process's own, whatever is there.
func TestNoteIsNotWrittenThroughALink(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("letters"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, holderPath(path)); err != nil {
		t.Fatal(err)
	}
	open(t, path, Options{})
	if b, err := os.ReadFile(precious); err != nil || string(b) != "letters" {
		t.Errorf("the file that the link leads to has %q, error %v", b, err)
	}
	if _, err := Open(path, Options{}); !errors.As(err, new(*store.HeldError)) || readHolder(path) == "" {
		t.Errorf("a second Open: %v", err)
	}
}

func TestNoteThatIsNoFileKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{})
	if err := errors.Join(os.Remove(holderPath(path)), syscall.Mkfifo(holderPath(path), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.As(err, new(*store.HeldError)) {
		t.Errorf("a second Open: %v", err)
	}
	shut(t, s)
}
