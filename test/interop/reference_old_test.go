package interop

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// referenceV1 is the reference peer as it was when there was version 1 of the wire alone.
var referenceV1 = &library{
	name: "reference_v1", language: "Python", install: debian("python3-pika"),
	find: func() (installed, error) {
		found, err := reference.find()
		return installed{found.version, func(program string) []string {
			python := found.command(program)[0]
			return []string{"env", "PYTHONPATH=peers/reference", python, filepath.Join("peers/reference_v1", program+".py")}
		}}, err
	},
}

// An old server refuses version 2, and the client goes on in version 1.
func TestWarrenCallsAnOldServer(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		p := serveReference(t, referenceV1, url, filepath.Join(t.TempDir(), "calls.db"), "at-least-once")
		c, ctx := newClient(t, url), withPatience(t)
		echo := task(t, map[string]any{"do": "echo", "text": "tea"})
		for i, attempts := range []int{2, 1, 1} { // the first one finds out, and counts as none
			reply, err := c.Call(ctx, "reference", echo, client.WithAttempts(1))
			if err != nil || string(reply.Body) != "tea" || reply.Attempts != attempts || reply.Header["served-by"] != "python" {
				t.Fatalf("call %d: %+v, %v", i, reply, err)
			}
		}
		_, err := c.Call(ctx, "reference", task(t, map[string]any{"do": "fail"}))
		rig.WantError(t, err, warren.CodeNotFound, "no_such_user", warren.Executed)

		// Errors that are repeated are, each client's first call in another version.
		other := newClient(t, url)
		_, err = other.Call(ctx, "reference", task(t, map[string]any{"do": "away"}), client.Idempotent(), client.WithAttempts(2))
		if e := rig.WantError(t, err, warren.CodeUnavailable, rig.AnyReason, warren.Executed); e.Attempts != 3 {
			t.Errorf("%+v", e)
		}
		// The user's own IDs, which may be repeated and which may not.
		for _, opts := range [][]client.CallOption{{client.WithCallID("k1")}, {client.WithCallID("k2"), client.Idempotent()}} {
			fresh := newClient(t, url)
			for _, replayed := range []bool{false, true} {
				reply, err := fresh.Call(ctx, "reference", echo, opts...)
				if err != nil || string(reply.Body) != "tea" || reply.Replayed != replayed {
					t.Errorf("%+v, %v", reply, err)
				}
			}
		}
		if err := newClient(t, url).Notify(ctx, "reference", echo, client.WithCallID("told")); err != nil {
			t.Fatal(err)
		}
		patience.Eventually(t, "the notification is served", func() bool { return bytes.Contains(p.stdout.bytes(), []byte(`{"began": "told"}`)) })
		patience.Eventually(t, "the notification has ended", func() bool {
			told, err := newClient(t, url).Resolve(ctx, "reference", "told", client.Proven(warren.ProofOf("", "", echo)))
			return err == nil && told.State == client.Completed
		})
	})
}

// serveByWarren serves the method of the reference peers, as they do but for the store.
// It counts the handler's runs.
func serveByWarren(t *testing.T, url string) *atomic.Int64 {
	t.Helper()
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	runs := &atomic.Int64{}
	err = s.HandleRaw(server.Method{Name: "reference", Concurrency: 4}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		n := runs.Add(1)
		switch body := string(req.Body); {
		case body == "fail":
			return nil, warren.Errorf(warren.CodeNotFound, "there is no user 2").WithReason("no_such_user").WithDetail("user", "2")
		case body == "away" && n < 3:
			return nil, warren.Errorf(warren.CodeUnavailable, "come later")
		case req.Deadline.IsZero() != req.OneWay:
			return nil, warren.Errorf(warren.CodeInternal, "the deadline is %v", req.Deadline)
		default:
			return &warren.Reply{Body: []byte("tea")}, nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(withPatience(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return runs
}

func TestOldClientAndNewOneCallWarren(t *testing.T) {
	t.Parallel()
	for _, peer := range []*library{referenceV1, reference} {
		t.Run(peer.name, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, url string) {
				t.Helper()
				runs := serveByWarren(t, url)
				want := func(printed map[string]any, fields map[string]any) {
					t.Helper()
					for name, value := range fields {
						if printed[name] != value {
							t.Errorf("%s is %v, not %v: %v", name, printed[name], value, printed)
						}
					}
				}
				want(callBy(t, peer, url, "--body=away", "--idempotent"), map[string]any{"then": "result", "body": "tea", "attempts": 3.0})
				want(callBy(t, peer, url, "--body=x"), map[string]any{"then": "result", "body": "tea", "attempts": 1.0})
				want(callBy(t, peer, url, "--body=x", "--id=k"), map[string]any{"then": "result", "body": "tea"})
				want(callBy(t, peer, url, "--body=x", "--id=k", "--idempotent"), map[string]any{"then": "result", "body": "tea"})
				want(callBy(t, peer, url, "--body=fail"), map[string]any{
					"then": "error", "code": "not_found", "reason": "no_such_user", "outcome": "executed", "text": "there is no user 2",
				})
				want(callBy(t, peer, url, "--body=x", "--content-type="), map[string]any{"then": "result"})
				if err := newClient(t, url).Notify(withPatience(t), "reference", []byte("x")); err != nil {
					t.Error(err)
				}
				patience.Eventually(t, "the notification is served", func() bool { return runs.Load() == 9 })
			})
		})
	}
}

// While servers are replaced one by one, those of both versions take from one queue. No
// call is executed twice, and none fails.
func TestServersOfBothVersionsShareAQueue(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		p := serveReference(t, referenceV1, url, filepath.Join(t.TempDir(), "calls.db"), "at-least-once")
		runs := serveByWarren(t, url)
		ctx, echo := withPatience(t), task(t, map[string]any{"do": "echo", "text": "tea"})
		const calls = 40
		for i := range calls {
			c := newClient(t, url) // that knows of no version yet
			var opts []client.CallOption
			if i%4 == 0 {
				opts = append(opts, client.WithCallID(fmt.Sprint("k", i)))
			}
			if reply, err := c.Call(ctx, "reference", echo, opts...); err != nil || string(reply.Body) != "tea" {
				t.Errorf("call %d: %+v, %v", i, reply, err)
			}
		}
		old := bytes.Count(p.stdout.bytes(), []byte(`"began"`))
		if n := int(runs.Load()); old+n != calls || old == 0 || n == 0 {
			t.Errorf("of %d calls the old server has executed %d, and the new one %d", calls, old, n)
		}
	})
}

// What a reference client of today makes of a server of yesterday.
func TestReferenceClientCallsAnOldServer(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		serveReference(t, referenceV1, url, filepath.Join(t.TempDir(), "calls.db"), "at-least-once")
		body := `--body={"do":"echo","text":"tea"}`
		for _, args := range [][]string{{body}, {body, "--id=k"}, {body, "--id=l", "--idempotent"}} {
			began := time.Now()
			if got := callByReference(t, url, args...); got["then"] != "result" || got["body"] != "tea" {
				t.Errorf("%q: %v after %v", args, got, time.Since(began))
			}
		}
	})
}
