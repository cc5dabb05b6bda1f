package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestGatewayAnswersAThousandRequestsAtOnceEachWithItsOwn(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	// All are under way at the same time: none is answered before the last has come.
	const all = 1000
	var come atomic.Int64
	release := make(chan struct{})
	newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "all", Concurrency: all}, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if come.Add(1) == all {
				close(release)
			}
			select {
			case <-release:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return &warren.Reply{Body: []byte(req.Header["http.param.id"] + string(req.Body))}, nil
		})
	})
	f := newFront(t, url, gateway.Config{Routes: []gateway.Route{{Pattern: "POST /all/{id}", Method: "all", Timeout: patience.Soon}}})
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			a, err := f.try(testContext(t), "POST", fmt.Sprint("/all/", i), "-body")
			if want := fmt.Sprint(i, "-body"); err != nil || a.status != 200 || a.body != want {
				t.Errorf("request %d: %v, %+v", i, err, a)
			}
		})
	}
	wg.Wait()
	if n, st, g := come.Load(), f.c.Stats(), f.g.Stats(); n != all || st.Pending != 0 || g.AtWork != 0 || g.Requests != all {
		t.Errorf("%d runs, %+v, %+v", n, st, g)
	}
}

func TestGatewayAnswersAlthoughItsServerIsKilled(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	victim := startServer(t, url, "echo", "never")
	f := newFront(t, url, gateway.Config{Routes: []gateway.Route{{Pattern: "POST /echo", Method: "echo", Timeout: patience.Soon}}})
	answered := make(chan answer, 1)
	go func() {
		a, err := f.try(testContext(t), "POST", "/echo", "hold")
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	patience.Eventually(t, "the handler runs", func() bool { return victim.count("ran") == 1 })
	second := startServer(t, url, "echo", "")
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; a.status != 200 || a.body != "hold" {
		t.Errorf("%+v", a)
	}
	patience.Eventually(t, "the second server has run the call", func() bool { return second.count("ran") == 1 })
	// With nobody left the gateway says so, and is there when they come back.
	if err := second.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "the gateway knows that nobody serves", func() bool {
		a := f.ask(t, "POST", "/echo", "x", "Request-Timeout", "500ms")
		return a.status == 503 && a.problem(t).Reason == "no_server" && a.header.Get("Retry-After") == "1"
	})
	startServer(t, url, "echo", "")
	patience.Eventually(t, "the gateway serves again", func() bool { return f.ask(t, "POST", "/echo", "x").status == 200 })
}

func TestCallerThatDisconnectsHoldsItsPlaceUntilItsCallHasEnded(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	gate := rig.NewGate()
	newServer(t, url, func(s *server.Server) error { return s.HandleRaw(server.Method{Name: "gate"}, gate.Handle) })
	f := newFront(t, url, gateway.Config{Routes: []gateway.Route{{Pattern: "POST /gate", Method: "gate", Concurrency: 1, Timeout: patience.Soon}}})
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /gate HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"); err != nil {
		t.Fatal(err)
	}
	<-gate.Entered
	if a := f.ask(t, "POST", "/gate", "y"); a.status != 429 {
		t.Errorf("%+v", a)
	}
	_ = conn.Close()
	if a := f.ask(t, "POST", "/gate", "y"); a.status != 429 || f.c.Stats().Pending != 1 {
		t.Errorf("%+v, %+v", a, f.c.Stats())
	}
	close(gate.Release)
	patience.Eventually(t, "the place is free", func() bool { return f.g.Stats().AtWork == 0 && f.c.Stats().Pending == 0 })
	patience.Eventually(t, "the log says so", func() bool { return strings.Contains(f.log.String(), "status=499") })
	if a := f.ask(t, "POST", "/gate", "z"); a.status != 200 || a.body != "z" {
		t.Errorf("%+v", a)
	}
}

func TestBodiesOverTheBoundAreRefusedHoweverTheyCome(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, serveEcho("echo"))
	f := newFront(t, url, gateway.Config{MaxBody: 1000, Routes: []gateway.Route{{Pattern: "POST /echo", Method: "echo"}}})
	if a := f.ask(t, "POST", "/echo", strings.Repeat("x", 1000)); a.status != 200 || len(a.body) != 1000 {
		t.Errorf("%+v", a)
	}
	if a := f.ask(t, "POST", "/echo", strings.Repeat("x", 1001)); a.status != 413 || a.problem(t).Reason != "request_too_large" {
		t.Errorf("%+v", a)
	}
	// A length that is a lie costs nothing: 413 comes before the body is read.
	if got := f.raw(t, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, "Connection: close") {
		t.Errorf("%q", got)
	}
	chunks := "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("64\r\n"+strings.Repeat("x", 100)+"\r\n", 11)
	if got := f.raw(t, chunks+"0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 413 ") {
		t.Errorf("%q", got)
	}
	if calls := f.c.Stats().Calls; calls != 1 {
		t.Errorf("%d calls were made", calls)
	}
}

// Requests made again with their keys, over a store on disk.
func TestGatewayReplaysToEachSubjectItsOwn(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	st, err := boltstore.Open(filepath.Join(t.TempDir(), "calls.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Store: st, Logger: rig.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int64
	err = s.HandleRaw(server.Method{Name: "pay"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		return &warren.Reply{Body: fmt.Appendf(nil, "%s paid %s as %d", req.Header["http.subject"], req.Body, runs.Add(1))}, nil
	})
	if err == nil {
		err = s.Start(testContext(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rig.Stop(t, s) })
	cfg := gateway.Config{
		Routes: []gateway.Route{{Pattern: "POST /pay", Method: "pay", Idempotent: true, RequireKey: true}},
		Authenticate: func(r *http.Request) (gateway.Identity, error) {
			return gateway.Identity{Subject: r.Header.Get("X-User")}, nil
		},
	}
	f := newFront(t, url, cfg)
	other := newFront(t, url, cfg) // of another process, for what is on the wire
	first := map[string]string{}
	for round, via := range []*front{f, other, f} {
		for _, user := range []string{"ada", "bob"} {
			a := via.ask(t, "POST", "/pay", "10", "X-User", user, "Idempotency-Key", "k", "Traceparent", fmt.Sprintf("00-%032d-%016d-01", round+1, round+1))
			if round == 0 {
				first[user] = a.body
			}
			if a.status != 200 || a.body != first[user] || !strings.HasPrefix(a.body, user+" paid 10") || (a.header.Get("Idempotency-Replayed") == "true") != (round > 0) {
				t.Errorf("round %d, %s: %+v", round, user, a)
			}
		}
	}
	if a := f.ask(t, "POST", "/pay", "11", "X-User", "ada", "Idempotency-Key", "k"); a.status != 409 || a.problem(t).Reason != "key_reused" {
		t.Errorf("%+v", a)
	}
	if a := f.ask(t, "POST", "/pay", "11", "X-User", "ada"); a.status != 400 || a.problem(t).Reason != "bad_key" {
		t.Errorf("%+v", a)
	}
	if n := runs.Load(); n != 2 {
		t.Errorf("the handler ran %d times", n)
	}
}

// What a load generator of others makes of it: no error but those asked for.
func TestGatewayUnderLoadAnswersEveryRequest(t *testing.T) {
	t.Parallel()
	hey, err := exec.LookPath("hey")
	if err != nil {
		t.Fatal("hey is not in PATH; to get it, run scripts/deps.sh in the repository's root")
	}
	url := rabbit.VHost(t)
	newServer(t, url, func(s *server.Server) error {
		if err := s.HandleRaw(server.Method{Name: "echo"}, rig.Echo); err != nil {
			return err
		}
		return s.HandleRaw(server.Method{Name: "refuse"}, func(context.Context, *warren.Request) (*warren.Reply, error) {
			return nil, warren.Errorf(warren.CodeNotFound, "no")
		})
	})
	f := newFront(t, url, gateway.Config{Routes: []gateway.Route{
		{Pattern: "POST /echo", Method: "echo", Timeout: patience.Soon}, {Pattern: "POST /refuse", Method: "refuse", Timeout: patience.Soon},
		{Pattern: "POST /rated", Method: "echo", Timeout: patience.Soon, Rate: gateway.Rate{PerSecond: 0.001, Burst: 100}},
	}})
	for path, want := range map[string]string{
		"/echo": "[200] 4000", "/refuse": "[404] 4000", "/rated": "[200] 100 [429] 3900",
	} {
		out, err := exec.CommandContext(testContext(t), hey, "-n", "4000", "-c", "50", "-t", "25", "-m", "POST", "-d", strings.Repeat("x", 200), "http://"+f.addr+path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, counts, _ := strings.Cut(string(out), "Status code distribution:")
		var got []string
		for _, found := range regexp.MustCompile(`(\[\d+\])\s+(\d+) responses`).FindAllStringSubmatch(counts, -1) {
			got = append(got, found[1]+" "+found[2])
		}
		if strings.Join(got, " ") != want || strings.Contains(string(out), "Error distribution") {
			t.Errorf("%s: %q; want %s\n%s", path, got, want, out)
		}
	}
	if f.g.Stats().AtWork != 0 || f.c.Stats().Pending != 0 {
		t.Errorf("%+v, %+v", f.g.Stats(), f.c.Stats())
	}
}

// What cannot be had within its time is said to be so, also while the broker is gone.
func TestGatewayOutlivesItsBroker(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{})
	newServer(t, node.URL(), serveEcho("echo"))
	f := newFront(t, node.URL(), gateway.Config{Routes: []gateway.Route{{Pattern: "POST /echo", Method: "echo"}}})
	ask := func() answer { return f.ask(t, "POST", "/echo", "x", "Request-Timeout", "1s") }
	if a := ask(); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	if err := node.MemoryAlarm(testContext(t), true); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "the broker blocks publishers", func() bool {
		a := ask()
		return a.status == 503 && a.problem(t).Reason == "connection_blocked" && a.header.Get("Retry-After") == "1"
	})
	if err := node.MemoryAlarm(testContext(t), false); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "the broker takes publishes again", func() bool { return ask().status == 200 })
	node.Kill()
	patience.Eventually(t, "the gateway is not ready", func() bool { return f.ask(t, "GET", gateway.ReadyPath, "").status == 503 })
	patience.Eventually(t, "calls say so", func() bool {
		a := ask()
		return a.status == 504 && a.problem(t).Outcome == "not_executed" && a.problem(t).Reason == "not_connected"
	})
	if a := f.ask(t, "GET", gateway.HealthPath, ""); a.status != 200 {
		t.Errorf("%+v", a)
	}
	if err := node.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "the gateway is ready and serves", func() bool { return f.ask(t, "GET", gateway.ReadyPath, "").status == 200 && ask().status == 200 })
}
