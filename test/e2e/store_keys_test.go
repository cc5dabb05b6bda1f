package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// numbered counts its runs, and answers with the number of the run, the caller and
// the body.
type numbered struct{ runs atomic.Int32 }

func (n *numbered) handle(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	return &warren.Reply{Body: fmt.Appendf(nil, "%d %s %s", n.runs.Add(1), req.UserID, req.Body)}, nil
}

// newStoredServer is newServer with a store.
func newStoredServer(t *testing.T, url string, st store.Store, m server.Method, h warren.Handler) *server.Server {
	t.Helper()
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: []string{url}, Heartbeat: heartbeat},
		Logger: rig.Logger(t), Store: st,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.HandleRaw(m, h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rig.Stop(t, s) })
	return s
}

// openStore opens a store that is closed with the test. Closing it before is fine.
func openStore(t *testing.T, path string, o boltstore.Options) *boltstore.Store {
	t.Helper()
	st, err := boltstore.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// as has a client tell who it is.
func as(user string) func(*client.Config) {
	return func(cfg *client.Config) { cfg.UserID = user }
}

func wantReply(t *testing.T, c *client.Client, id, body, want string, replayed bool) {
	t.Helper()
	reply, err := c.Call(testContext(t), "m", []byte(body), client.WithCallID(id))
	if err != nil || string(reply.Body) != want || reply.Replayed != replayed {
		t.Errorf("call %s of %q: %+v, %v; want %q, replayed %t", id, body, reply, err, want, replayed)
	}
}

// A key belongs to one request, in the process that served it and in the next one.
func TestKeyOfAnotherRequestIsRefusedAndNothingRuns(t *testing.T) {
	t.Parallel()
	url, path := rabbit.VHost(t), filepath.Join(t.TempDir(), storeFile)
	var n numbered
	m := server.Method{Name: "m", Dedupe: server.Dedupe{Mode: server.AtMostOnce}}
	for round := range 2 {
		st := openStore(t, path, boltstore.Options{})
		s := newStoredServer(t, url, st, m, n.handle)
		wantReply(t, newClient(t, url), "k", "one", "1  one", round > 0)
		for _, opts := range [][]client.CallOption{
			{client.WithContentType("text/plain")}, {client.WithContentEncoding("gzip")}, {client.WithHeader("tenant", "b")},
		} {
			_, err := newClient(t, url).Call(testContext(t), "m", []byte("one"), append(opts, client.WithCallID("k"))...)
			rig.WantError(t, err, warren.CodeAlreadyExists, warren.ReasonKeyReused, warren.NotExecuted)
		}
		_, err := newClient(t, url).Call(testContext(t), "m", []byte("two"), client.WithCallID("k"), client.Idempotent())
		rig.WantError(t, err, warren.CodeAlreadyExists, warren.ReasonKeyReused, warren.NotExecuted)
		if runs := n.runs.Load(); runs != 1 {
			t.Errorf("the handler ran %d times", runs)
		}
		rig.Stop(t, s)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Where callers are kept apart, one sees nothing of what another has called, and
// nobody can pretend to be another.
func TestCallersDoNotSeeEachOthersReplies(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	node, vhost := rabbit.Shared(t), vhostOf(t, url)
	st := openStore(t, filepath.Join(t.TempDir(), storeFile), boltstore.Options{})
	var n numbered
	m := server.Method{Name: "m", Dedupe: server.Dedupe{Mode: server.AtMostOnce, ByCaller: true}}
	s := newStoredServer(t, url, st, m, n.handle)
	user := func(name string) string {
		name += "-" + vhost
		if err := node.AddUser(testContext(t), name, "pass", vhost, ".*", ".*", ".*"); err != nil {
			t.Fatal(err)
		}
		return name
	}
	alice, bob := user("alice"), user("bob")
	aliceURL, bobURL := node.URLAs(alice, "pass", vhost), node.URLAs(bob, "pass", vhost)

	wantReply(t, newClient(t, aliceURL, as(alice)), "k", "same", "1 "+alice+" same", false)
	wantReply(t, newClient(t, bobURL, as(bob)), "k", "same", "2 "+bob+" same", false)
	wantReply(t, newClient(t, bobURL, as(bob)), "l", "of bob's", "3 "+bob+" of bob's", false)
	wantReply(t, newClient(t, aliceURL, as(alice)), "l", "of alice's", "4 "+alice+" of alice's", false) // no conflict
	wantReply(t, newClient(t, aliceURL, as(alice)), "k", "same", "1 "+alice+" same", true)
	wantReply(t, newClient(t, bobURL, as(bob)), "k", "same", "2 "+bob+" same", true)

	told, err := newClient(t, bobURL, as(bob)).Resolve(testContext(t), "m", "k",
		client.Proven(warren.ProofOf("", "", []byte("same"))))
	if err != nil || told.State != client.Completed || string(told.Reply.Body) != "2 "+bob+" same" {
		t.Errorf("bob is told %+v, %v", told, err)
	}
	_, err = newClient(t, aliceURL).Call(testContext(t), "m", []byte("same"), client.WithCallID("k"))
	rig.WantError(t, err, warren.CodeUnauthenticated, warren.ReasonMissingIdentifier, warren.NotExecuted)
	reply, err := newClient(t, bobURL, as(alice)).Call(testContext(t), "m", []byte("same"), client.WithCallID("k"),
		client.WithTimeout(2*time.Second))
	if err == nil {
		t.Errorf("one who only says that he is alice is answered %q", reply.Body)
	}
	if st := s.Stats(); n.runs.Load() != 4 || st.Conflicts != 0 || st.Replays != 2 {
		t.Errorf("%d runs, %+v", n.runs.Load(), st)
	}
}
