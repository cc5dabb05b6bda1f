package main

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/patience"
)

func TestServersThatShareAStoreCountEachCallOnce(t *testing.T) {
	t.Parallel()
	for kind, modes := range map[string][]string{
		"postgres": {"at-least-once", "at-most-once", "transactional"}, "redis": {"at-least-once", "at-most-once"},
	} {
		for _, mode := range modes {
			t.Run(kind+"/"+mode, func(t *testing.T) {
				t.Parallel()
				raw := databaseURLs(t)[kind]
				_, object := started(t, "broker", "--listen", "127.0.0.1:0")
				at := as[string](t, object["url"])
				count := func(id string) map[string]any {
					return invoke(t, at, "call", "--json", "--id", id, "sample.count").want(t, 0).object(t)
				}
				servers := []*tool{}
				for range 2 {
					servers = append(servers, serveSamples(t, at, "--store", raw, "--store-mode", mode))
				}
				if got := count("a"); got["body"] != "1" || got["replayed"] != false {
					t.Errorf("the first call: %v", got)
				}
				// Calls that are made at once are counted by both, and once each.
				ids := []string{"b", "c", "d", "b", "c", "d", "a"}
				bodies := make([]string, len(ids))
				var calls sync.WaitGroup
				for i, id := range ids {
					calls.Go(func() { bodies[i] = as[string](t, count(id)["body"]) })
				}
				calls.Wait()
				counted := slices.Sorted(slices.Values(bodies[:3]))
				if !slices.Equal(counted, []string{"2", "3", "4"}) || !slices.Equal(bodies[:3], bodies[3:6]) || bodies[6] != "1" {
					t.Errorf("%v are %v", ids, bodies)
				}
				// What one has counted the other knows.
				send(t, servers[0], syscall.SIGKILL)
				servers[0].wait(t)
				for i, id := range ids {
					if got := count(id); got["body"] != bodies[i] || got["replayed"] != true {
						t.Errorf("%s again: %v", id, got)
					}
				}
				if got := count("e"); got["body"] != "5" {
					t.Errorf("a new call: %v", got)
				}
				send(t, servers[1], syscall.SIGTERM)
				servers[1].wait(t).want(t, 0)
				for _, s := range servers {
					s.wantNoPassword(t, raw)
				}
			})
		}
	}
}

func TestRedisIsRefusedWhereItPromisesTooLittle(t *testing.T) {
	t.Parallel()
	durable := databaseURLs(t)["redis"]
	for raw, want := range map[string]string{
		withQuery(t, durable, "durability", "replicas"):                  "Replicas must be at least 1",
		withQuery(t, durable, "durability", "some"):                      "must be disk or replicas",
		strings.Replace(durable, "durability=disk", "replicas=0", 1):     "replicas must be a number from 1 on",
		strings.Replace(durable, "durability=disk", "protocol=three", 1): "protocol",
	} {
		r := invoke(t, "amqp://127.0.0.1:1/", "serve", "--store", raw, "--store-mode", "at-most-once").wantNoPassword(t, durable)
		if text := r.wantLine(t); r.code == 0 || !strings.Contains(text, want) {
			t.Errorf("%s: %d, %s", want, r.code, text)
		}
	}
	for _, line := range [][]string{
		{durable, "transactional", "needs a file or PostgreSQL"},
		{strings.Replace(durable, "durability=disk", "", 1), "at-most-once", "durable"},
	} {
		r := invoke(t, "amqp://127.0.0.1:1/", "serve", "--store", line[0], "--store-mode", line[1]).want(t, exitUsage).wantNoPassword(t, durable)
		if text := r.wantLine(t); !strings.Contains(text, line[2]) {
			t.Errorf("%s: %s", line[1], text)
		}
	}
}

func TestSharedStoreIsAdoptedWhenNoServerHasTheMethod(t *testing.T) {
	t.Parallel()
	raw := databaseURLs(t)["postgres"]
	_, object := started(t, "broker", "--listen", "127.0.0.1:0")
	at := as[string](t, object["url"])
	file := filepath.Join(t.TempDir(), "calls.db")
	s, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	adopt := func(store string, code int) *tool {
		return invoke(t, at, "store", "adopt", store, "sample.echo").want(t, code).wantNoPassword(t, raw)
	}
	served := serveSamples(t, at, "--method", "sample.echo", "--store", raw)
	// It has the method already, and servers need not stop for it.
	if out := adopt(raw, 0).stdout.String(); !strings.Contains(out, "as before") {
		t.Errorf("adopted: %q", out)
	}
	if text := adopt(file, exitInternal).wantLine(t); !strings.Contains(text, "a server has sample.echo") {
		t.Errorf("while a server has the method: %q", text)
	}
	send(t, served, syscall.SIGKILL)
	served.wait(t)
	patience.Eventually(t, "the broker has noticed that the server has gone", func() bool {
		return invoke(t, at, "store", "adopt", file, "sample.echo").wantNoPassword(t, raw).code == 0
	})
	if out := adopt(raw, 0).stdout.String(); !strings.Contains(out, "in the place of") {
		t.Errorf("adopted: %q", out)
	}
	served = serveSamples(t, at, "--method", "sample.echo", "--store", raw)
	send(t, served, syscall.SIGTERM)
	served.wait(t).want(t, 0).wantNoPassword(t, raw)
}
