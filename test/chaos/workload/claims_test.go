package workload

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/chaos/history"
)

func TestAttemptsAfterTheFirstAreInTheHistory(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	log, err := history.Open(folder, "server", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file, err := boltstore.Open(filepath.Join(t.TempDir(), StoreName), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	s := watchedFile{file, BackendOptions{Claim: claims{log}.claim}}
	for n := 1; n <= attempts+1; n++ {
		for _, once := range []bool{true, false} {
			c := store.Claim{
				Key: store.Scope{Method: Method, CallID: "k"}.Key(), Method: Method, CallID: "k", Retention: time.Hour, Once: once,
			}
			r, won, err := s.Claim(t.Context(), c)
			if err != nil || won != (once == (n == 1)) || r.Attempts != n && won {
				t.Fatalf("attempt %d, once %v: %+v, %v, %v", n, once, r, won, err)
			}
			if !won {
				continue
			}
			if err := s.Abandon(t.Context(), c.Key, r.Token, store.Unended); err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				break
			}
		}
		found := map[string]int{}
		for e, err := range history.ReadFolder(folder) {
			if err != nil || e.CallID != "k" || e.Process != log.Process() || e.Note == history.NoteTakeover && e.Owner != file.Owner() {
				t.Fatalf("%+v, %v", e, err)
			}
			found[e.Note]++
		}
		if want := map[bool]int{true: 1}[n >= attempts]; found[history.NoteLastAttempt] != want {
			t.Errorf("%v after %d attempts; want %d last ones", found, n, want)
		}
		if found[history.NoteTakeover] != n-1 {
			t.Errorf("%v after %d attempts; each but the first is a takeover", found, n)
		}
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}
