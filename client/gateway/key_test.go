package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// byHeader knows callers by a header, which stands for a token here.
func byHeader(r *http.Request) (gateway.Identity, error) {
	return gateway.Identity{Subject: r.Header.Get("X-User")}, nil
}

// stored serves a method that counts its runs by subject and remembers its calls.
func stored(r *rig.Rig, h warren.Handler) {
	r.T.Helper()
	st := memstore.New(memstore.Options{})
	r.T.Cleanup(func() { _ = st.Close() })
	s := r.NewServer(func(cfg *server.Config) { cfg.Store = st })
	if err := s.HandleRaw(rig.Named("orders.create"), h); err != nil {
		r.T.Fatal(err)
	}
	r.Start(s)
}

func TestSubjectsWithOneKeyNeverSeeEachOthersReplies(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		runs := 0
		stored(r, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			runs++
			return &warren.Reply{Body: []byte(req.Header["http.subject"] + " " + string(req.Body))}, nil
		})
		cfg := routes(
			gateway.Route{Pattern: "POST /orders", Method: "orders.create", Idempotent: true},
			gateway.Route{Pattern: "POST /v2/orders", Method: "orders.create", Idempotent: true},
		)
		cfg.Authenticate = byHeader
		g := newGateway(r, cfg)
		ctx := r.T.Context()
		for i, user := range []string{"ada", "bob", "ada", "bob", ""} {
			resp := ask(ctx, g, "POST", "/orders", "x", head{"Idempotency-Key": "k", "X-User": user})
			if body := wantStatus(r.T, resp, 200); body != user+" x" {
				r.T.Errorf("%s is told %q", user, body)
			}
			if again := resp.Header.Get("Idempotency-Replayed") == "true"; again != (i == 2 || i == 3) {
				r.T.Errorf("request %d: replayed %v", i, again)
			}
		}
		// Another route is another call, and so is a request without the key.
		wantStatus(r.T, ask(ctx, g, "POST", "/v2/orders", "x", head{"Idempotency-Key": "k", "X-User": "ada"}), 200)
		wantStatus(r.T, ask(ctx, g, "POST", "/orders", "x", head{"X-User": "ada"}), 200)
		wantStatus(r.T, ask(ctx, g, "POST", "/orders", "x", head{"X-User": "ada"}), 200)
		if runs != 6 {
			r.T.Errorf("%d runs", runs)
		}
		p := wantProblem(r.T, ask(ctx, g, "POST", "/orders", "y", head{"Idempotency-Key": "k", "X-User": "ada"}), 409, "already_exists", "key_reused", "not_executed")
		if len(p.CallID) != 64 {
			r.T.Errorf("%+v", p)
		}
	})
}

func TestErrorThatWasStoredIsReplayedAsSuch(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		stored(r, func(context.Context, *warren.Request) (*warren.Reply, error) {
			return nil, warren.Errorf(warren.CodeFailedPrecondition, "the account is frozen")
		})
		g := newGateway(r, routes(gateway.Route{Pattern: "POST /orders", Method: "orders.create"}))
		for i, want := range []string{"", "true"} {
			resp := ask(r.T.Context(), g, "POST", "/orders", "x", head{"Idempotency-Key": "k"})
			wantProblem(r.T, resp, 400, "failed_precondition", "", "executed")
			if got := resp.Header.Get("Idempotency-Replayed"); got != want {
				r.T.Errorf("request %d: replayed %q", i, got)
			}
		}
	})
}

func TestRequestsWithOneKeyJoinWhileTheFirstIsUnderWay(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		gate := rig.NewGate()
		r.Serve(rig.Named("m"), gate.Handle)
		g := newGateway(r, routes(gateway.Route{Pattern: "POST /m", Method: "m"}))
		done := make(chan response, 2)
		for _, span := range []string{"b7ad6b7169203331", "00f067aa0ba902b7"} { // a request that is made again has another
			headers := head{"Idempotency-Key": "k", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-" + span + "-01", "Baggage": "s=" + span}
			go func() { done <- ask(r.T.Context(), g, "POST", "/m", "x", headers) }()
			synctest.Wait()
		}
		<-gate.Entered
		wantProblem(r.T, ask(r.T.Context(), g, "POST", "/m", "y", head{"Idempotency-Key": "k"}), 409, "already_exists", "key_reused", "not_executed")
		close(gate.Release)
		for range 2 {
			if body := wantStatus(r.T, <-done, 200); body != "x" {
				r.T.Errorf("%q", body)
			}
		}
		if n := gate.Runs.Load(); n != 1 {
			r.T.Errorf("the handler ran %d times", n)
		}
	})
}

func TestKeysOutOfBoundsAreRefused(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		g := newGateway(r, routes(
			gateway.Route{Pattern: "POST /m", Method: "m"}, gateway.Route{Pattern: "POST /keyed", Method: "m", RequireKey: true},
		))
		ctx := r.T.Context()
		for _, key := range []string{"", " ", "a b", "a\x7f", "ä", strings.Repeat("k", 256)} {
			wantProblem(r.T, ask(ctx, g, "POST", "/m", "", head{"Idempotency-Key": key}), 400, "invalid_argument", "bad_key", "not_executed")
		}
		wantProblem(r.T, ask(ctx, g, "POST", "/keyed", "", nil), 400, "invalid_argument", "bad_key", "not_executed")
		if m := wantMirrored(r.T, ask(ctx, g, "POST", "/keyed", "", head{"Idempotency-Key": strings.Repeat("k", 255)})); len(m.ID) != 64 {
			r.T.Errorf("%+v", m)
		}
	})
}

func TestDeadlineOfARequestIsHonouredWithinItsRoutes(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		gate := rig.NewGate()
		r.Serve(rig.Named("m"), gate.Handle)
		g := newGateway(r, routes(
			gateway.Route{Pattern: "GET /m", Method: "m", Timeout: 3 * time.Second}, gateway.Route{Pattern: "GET /policy", Method: "m"},
		), func(cfg *client.Config) {
			cfg.Policies.Methods = map[string]reliability.Policy{"m": {Timeout: new(4 * time.Second)}}
		})
		for _, c := range []struct {
			path, header string
			want         time.Duration
		}{
			{"/m", "", 3 * time.Second}, {"/m", "2.5", 2500 * time.Millisecond}, {"/m", "250ms", 250 * time.Millisecond},
			{"/m", "1h", 3 * time.Second}, {"/policy", "", 4 * time.Second}, {"/policy", "9", 4 * time.Second}, {"/policy", "1", time.Second},
		} {
			headers := head{"Request-Timeout": c.header}
			if c.header == "" {
				headers = nil
			}
			began := time.Now()
			wantProblem(r.T, ask(r.T.Context(), g, "GET", c.path, "", headers), 504, "deadline_exceeded", "", "unknown")
			rig.Took(r.T, began, c.want)
		}
		for _, header := range []string{"", "soon", "-1", "0", "0.0001", "25h", "1e9", "1 s", strings.Repeat("1", 30)} {
			wantProblem(r.T, ask(r.T.Context(), g, "GET", "/m", "", head{"Request-Timeout": header}), 400, "invalid_argument", "bad_timeout", "not_executed")
		}
	})
}

// A caller who waits for less than the route gives must not close it for everybody.
func TestImpatientCallersDoNotOpenTheBreakerOfARoute(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			select {
			case <-time.After(50 * time.Millisecond):
				return mirror(ctx, req)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		g := newGateway(r, routes(gateway.Route{Pattern: "GET /m", Method: "m", Timeout: 3 * time.Second}))
		for range 30 {
			wantStatus(r.T, ask(r.T.Context(), g, "GET", "/m", "", head{"Request-Timeout": "20ms"}), 504)
		}
		wantMirrored(r.T, ask(r.T.Context(), g, "GET", "/m", "", nil))
	})
}
