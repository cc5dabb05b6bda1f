package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// reference is a peer of Warren's in Python, written from docs/wire.md and the pages
// beside it. What it does with a Warren peer holds the specification: what it had to
// know, another peer has to.
var reference = &library{
	name: "reference", language: "Python", install: debian("python3-pika"),
	find: interpreted("peers/reference", ".py", candidates("python3"), "-c", "import pika; print(pika.__version__)"),
}

func TestReferencePeerPassesTheVectors(t *testing.T) {
	t.Parallel()
	out, err := reference.start(t, "vectors", "../../docs/wire/vectors.json").wait(t)
	var result struct {
		Vectors int      `json:"vectors"`
		Failed  []string `json:"failed"`
	}
	if jsonErr := json.Unmarshal(out, &result); jsonErr != nil {
		t.Fatalf("%v: %s", jsonErr, out)
	}
	for _, failure := range result.Failed {
		t.Error(failure)
	}
	if err != nil || result.Vectors < 270 {
		t.Errorf("%d vectors; %v", result.Vectors, err)
	}
}

// startReference starts the reference server with a store of its own.
func startReference(t *testing.T, url, file, mode string) *program {
	t.Helper()
	return serveReference(t, reference, url, file, mode)
}

func serveReference(t *testing.T, peer *library, url, file, mode string) *program {
	t.Helper()
	p := peer.start(t, "serve", "--url="+url, "--method=reference", "--store="+file, "--mode="+mode)
	awaitLine(t, p, `{"ready": true}`)
	return p
}

func task(t *testing.T, fields map[string]any) []byte {
	t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestWarrenCallsTheReferenceServer(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		startReference(t, url, filepath.Join(t.TempDir(), "calls.db"), "at-least-once")
		c, ctx := newClient(t, url), withPatience(t)
		echo := task(t, map[string]any{"do": "echo", "text": "tea"})

		reply, err := c.Call(ctx, "reference", echo, client.WithCallID("order 1"))
		if err != nil || string(reply.Body) != "tea" || reply.Header["served-by"] != "python" || reply.Replayed {
			t.Fatalf("%+v, %v", reply, err)
		}
		reply, err = c.Call(ctx, "reference", echo, client.WithCallID("order 1"))
		if err != nil || string(reply.Body) != "tea" || reply.Header["served-by"] != "python" || !reply.Replayed {
			t.Errorf("made again: %+v, %v", reply, err)
		}
		_, err = c.Call(ctx, "reference", task(t, map[string]any{"do": "count"}), client.WithCallID("order 1"))
		rig.WantError(t, err, warren.CodeAlreadyExists, warren.ReasonKeyReused, warren.NotExecuted)

		for _, replayed := range []bool{false, true} {
			_, err = c.Call(ctx, "reference", task(t, map[string]any{"do": "fail"}), client.WithCallID("order 2"))
			rig.WantError(t, err, warren.CodeNotFound, "no_such_user", warren.Executed)
			if e, ok := warren.AsError(err); !ok || e.Details["user"] != "2" || e.Message != "there is no user 2" || e.Replayed != replayed {
				t.Errorf("%+v", e)
			}
		}
		_, err = c.Call(ctx, "reference", task(t, map[string]any{"do": "away"}), client.WithCallID("order 3"))
		rig.WantError(t, err, warren.CodeUnavailable, rig.AnyReason, warren.Executed)
		_, err = c.Call(ctx, "reference", nil, client.WithContentEncoding("none"), client.WithCallID("order 4"))
		rig.WantError(t, err, warren.CodeInvalidArgument, rig.AnyReason, warren.Executed)
	})
}

// A call that is made again while it runs waits for it.
func TestReferenceServerAttachesARepeatedCall(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		startReference(t, url, filepath.Join(t.TempDir(), "calls.db"), "at-least-once")
		ctx, body := withPatience(t), task(t, map[string]any{"do": "sleep", "ms": 1000, "text": "slept"})
		replies := make(chan *warren.Reply, 2)
		for range 2 {
			c := newClient(t, url)
			go func() {
				reply, err := c.Call(ctx, "reference", body, client.WithCallID("k"))
				if err != nil {
					t.Error(err)
				}
				replies <- reply
			}()
		}
		replayed := 0
		for range 2 {
			if reply := <-replies; reply != nil && reply.Replayed {
				replayed++
			}
		}
		if replayed != 1 {
			t.Errorf("%d of two replies are another call's", replayed)
		}
	})
}

func TestReferenceServerTellsWhatBecameOfCalls(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		startReference(t, url, filepath.Join(t.TempDir(), "calls.db"), "at-least-once")
		c, ctx := newClient(t, url), withPatience(t)
		body := task(t, map[string]any{"do": "echo", "text": "tea"})
		if _, err := c.Call(ctx, "reference", body, client.WithCallID("done")); err != nil {
			t.Fatal(err)
		}
		told, err := c.Resolve(ctx, "reference", "done", client.Proven(warren.ProofOf("", "", body)))
		if err != nil || told.State != client.Completed || string(told.Reply.Body) != "tea" {
			t.Errorf("%+v, %v", told, err)
		}
		_, err = c.Resolve(ctx, "reference", "done", client.Proven(warren.ProofOf("", "", []byte("guess"))))
		rig.WantError(t, err, warren.CodePermissionDenied, warren.ReasonNotProven, warren.Unknown)

		told, err = c.Resolve(ctx, "reference", "never", client.IssuedAt(time.Now()), client.Proven(warren.ProofOf("", "", body)))
		if err != nil || told.State != client.Canceled {
			t.Fatalf("%+v, %v", told, err)
		}
		_, err = c.Call(ctx, "reference", body, client.WithCallID("never"))
		rig.WantError(t, err, warren.CodeCanceled, rig.AnyReason, warren.NotExecuted)
		// The tombstone is not of another request with that ID.
		if _, err = c.Call(ctx, "reference", task(t, map[string]any{"do": "count"}), client.WithCallID("never")); err != nil {
			t.Error(err)
		}
	})
}

func TestReferenceServerDoesNotBeginACallTwice(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "calls.db")
		p := startReference(t, url, file, "at-most-once")
		c, ctx := newClient(t, url), withPatience(t)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Call(ctx, "reference", task(t, map[string]any{"do": "sleep", "ms": 60000, "text": ""}), client.WithCallID("k"))
			failed <- err
		}()
		patience.Eventually(t, "the call has begun", func() bool { return bytes.Contains(p.stdout.bytes(), []byte(`{"began": "k"}`)) })
		p.kill()
		startReference(t, url, file, "at-most-once")
		rig.WantError(t, <-failed, warren.CodeAborted, warren.ReasonInterrupted, warren.Unknown)
	})
}

// Its calls ask for several replies in one message, and find them there.
func TestReferenceClientTakesRepliesThatTravelTogether(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		const calls = 64
		s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		var entered atomic.Int32
		all := make(chan struct{})
		err = s.HandleRaw(server.Method{Name: "reference", Concurrency: calls}, func(ctx context.Context, _ *warren.Request) (*warren.Reply, error) {
			n := entered.Add(1)
			if n == calls {
				close(all) // their replies are in line together
			}
			select {
			case <-all:
			case <-ctx.Done():
			}
			return &warren.Reply{Body: fmt.Appendf(nil, "%03d", n)}, ctx.Err()
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
		printed := callByReference(t, url, "--body=x", "--burst="+strconv.Itoa(calls))
		bodies, _ := printed["bodies"].([]any)
		bundled, _ := printed["bundled"].(float64)
		for i, body := range bodies {
			if body != fmt.Sprintf("%03d", i+1) {
				t.Errorf("body %d is %v", i, body)
			}
		}
		if st := s.Stats(); len(bodies) != calls || bundled == 0 || uint64(bundled) != st.Bundled {
			t.Errorf("%d replies, %v of them bundled; %+v", len(bodies), bundled, st)
		}
	})
}

// callByReference makes a call with the reference client and returns what it printed.
func callByReference(t *testing.T, url string, args ...string) map[string]any {
	t.Helper()
	return callBy(t, reference, url, args...)
}

func callBy(t *testing.T, peer *library, url string, args ...string) map[string]any {
	t.Helper()
	p := peer.start(t, "call", append([]string{"--url=" + url, "--method=reference", "--timeout=20"}, args...)...)
	out, err := p.wait(t)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var printed map[string]any
	if err := json.Unmarshal(out, &printed); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return printed
}

func TestReferenceClientCallsWarren(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		t.Helper()
		st, err := boltstore.Open(filepath.Join(t.TempDir(), "calls.db"), boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: logger(t), Store: st})
		if err != nil {
			t.Fatal(err)
		}
		runs := 0
		err = s.HandleRaw(server.Method{Name: "reference", Concurrency: 1}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			runs++
			if strings.HasPrefix(string(req.Body), "fail") {
				return nil, warren.Errorf(warren.CodeNotFound, "there is no user 2").WithReason("no_such_user").WithDetail("user", "2")
			}
			return &warren.Reply{Body: strconv.AppendInt(nil, int64(runs), 10)}, nil
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
		want := func(printed map[string]any, fields map[string]any) {
			t.Helper()
			for name, value := range fields {
				if printed[name] != value {
					t.Errorf("%s is %v, not %v: %v", name, printed[name], value, printed)
				}
			}
		}
		id, issued := uuid.NewString(), "--issued="+strconv.FormatInt(time.Now().UnixMilli(), 10)
		want(callByReference(t, url, "--id="+id, "--body=x"), map[string]any{"then": "result", "body": "1", "replayed": false})
		want(callByReference(t, url, "--id="+id, "--body=x"), map[string]any{"then": "result", "body": "1", "replayed": true})
		want(callByReference(t, url, "--id="+id, "--body=y"), map[string]any{
			"then": "error", "code": "already_exists", "reason": "key_reused", "outcome": "not_executed",
		})
		want(callByReference(t, url, "--body=fail"), map[string]any{
			"then": "error", "code": "not_found", "reason": "no_such_user", "outcome": "executed", "text": "there is no user 2",
		})
		want(callByReference(t, url, "--resolve="+id, issued, "--body=x"), map[string]any{"then": "result", "state": "completed", "outcome": "executed"})
		want(callByReference(t, url, "--resolve="+id, issued, "--body=y"), map[string]any{"then": "error", "code": "permission_denied"})
		want(callByReference(t, url, "--resolve=never", issued, "--body=x"), map[string]any{"then": "result", "state": "canceled"})
		want(callByReference(t, url, "--id=never", "--body=x"), map[string]any{"then": "error", "code": "canceled", "outcome": "not_executed"})
		want(callByReference(t, url, "--method=nobody", "--body=x"), map[string]any{
			"then": "error", "code": "unavailable", "reason": "no_route", "outcome": "not_executed",
		})
	})
}
