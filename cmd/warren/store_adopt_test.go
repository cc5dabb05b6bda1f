package main

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/rabbit"
)

// A method that has lost its store is given to another one on purpose, and to none by
// accident.
func TestStoreIsAdoptedInThePlaceOfAnother(t *testing.T) {
	t.Parallel()
	deadBrokers(t, func(t *testing.T, url string) {
		old, next := filepath.Join(t.TempDir(), "old.db"), filepath.Join(t.TempDir(), "next.db")
		identity := func(path string) string {
			id, _ := invokeStore(t, "stats", "--json", path).want(t, 0).object(t)["id"].(string)
			if len(id) != 16 {
				t.Fatalf("the ID of %s is %q", path, id)
			}
			return id
		}
		first := serveSamples(t, url, "--store", old)
		s, err := boltstore.Open(next, boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		methods := []string{"sample.count", "sample.echo", "sample.fail", "sample.panic", "sample.sleep", "rpc_queue", "users.email"}
		adopt := append([]string{"store", "adopt", "--json", next}, methods...)
		if text := invoke(t, url, adopt...).want(t, exitInternal).wantLine(t); !strings.Contains(text, "a server has sample.count") {
			t.Errorf("while a server has the method: %q", text)
		}
		send(t, first, syscall.SIGKILL)
		first.wait(t)

		oldID, nextID := identity(old), identity(next)
		refused := func(path string, ids ...string) {
			r := invoke(t, url, "serve", "--store", path)
			text := r.stderr.String()
			if r.code == 0 || !strings.Contains(text, "warren store adopt") || slices.ContainsFunc(ids, func(id string) bool { return !strings.Contains(text, id) }) {
				t.Errorf("serve --store %s ends with %d: %s", path, r.code, text)
			}
		}
		refused(next, oldID, nextID)
		result := invoke(t, url, adopt...).want(t, 0).object(t)
		wantKeys(t, result, "store", "methods")
		list, _ := result["methods"].([]any)
		if len(list) != len(methods) {
			t.Fatalf("adopted: %v", result)
		}
		for i := range list {
			done, _ := list[i].(map[string]any)
			replaced, _ := done["replaced"].(map[string]any)
			if done["method"] != methods[i] || done["state"] != "adopted" || replaced["id"] != oldID || replaced["created"] == nil {
				t.Errorf("adopted: %v", done)
			}
		}
		if out := invoke(t, url, "store", "adopt", next, methods[0], "never.served").want(t, 0).stdout.String(); !strings.Contains(out, "as before") || !strings.Contains(out, "no store was before") {
			t.Errorf("adopted again: %q", out)
		}
		second := serveSamples(t, url, "--store", next)
		invoke(t, url, "call", "sample.count").want(t, 0)
		send(t, second, syscall.SIGTERM)
		second.wait(t).want(t, 0)
		refused(old, oldID, nextID)
	})
}

func TestAdoptionSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	file := newStoreFile(t)
	invoke(t, url, "store", "adopt", file+".no", "m").want(t, exitInternal).wantLine(t)
	invoke(t, "amqp://127.0.0.1:1/", "store", "adopt", file, "m").want(t, exitBroker).wantLine(t)
	invoke(t, url, "store", "adopt", file, strings.Repeat("m", 200)).want(t, 0)
	other := newStoreFile(t)
	if out := invoke(t, url, "store", "adopt", other, strings.Repeat("m", 200)).want(t, 0).stdout.String(); !strings.Contains(out, "in the place of another") {
		t.Errorf("of a long name: %q", out)
	}
}
