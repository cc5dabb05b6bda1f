//go:build linux

package proc_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestProcessDiesExactlyAtItsCrashPoint(t *testing.T) {
	t.Parallel()
	for plan, want := range map[proc.Plan]proc.Crash{
		"before-publish":             {Point: "before-publish", Nth: 1, Method: "m", CallID: "call-1"},
		"acked:100":                  {Point: "acked", Nth: 100, Method: "m", CallID: "call-100"},
		"acked:7, effect-done:5":     {Point: "effect-done", Nth: 5, Method: "m", CallID: "call-5"},
		"committed:1/1,acked":        {Point: "committed", Nth: 1, Method: "m", CallID: "call-1"},
		"in-handler:101,claimed:100": {Point: "claimed", Nth: 100, Method: "m", CallID: "call-100"},
	} {
		var last string
		options := roleOptions("points")
		options.Crash = plan
		options.OnLine = func(line string) { last = line }
		p := start(t, options)
		exit := wait(t, p)
		if exit.Crash != want || exit.Signal != "killed" {
			t.Errorf("plan %s: exit %+v; want %+v", plan, exit, want)
		}
		if last == fmt.Sprintf("passed %s %d", want.Point, want.Nth) {
			t.Errorf("plan %s: the call went on beyond the point", plan)
		}
	}
}

// A call is held at the point, and no other one, until another plan is in force; what was held
// before that is told before Arm returns.
func TestCallIsHeldUntilAnotherPlanIsInForce(t *testing.T) {
	t.Parallel()
	held, lines := make(chan proc.Crash, 10), make(chan string, 5000)
	options := roleOptions("points")
	options.Crash = "claimed:hold"
	options.OnHeld = func(at proc.Crash) { held <- at }
	options.OnLine = func(line string) { lines <- line }
	p := start(t, options)
	for _, want := range []struct {
		at   proc.Crash
		next proc.Plan
	}{
		{proc.Crash{Point: "claimed", Nth: 1, Method: "m", CallID: "call-1"}, "acked:hold"},
		{proc.Crash{Point: "acked", Nth: 1, Method: "m", CallID: "call-1"}, "acked:2,in-handler:hold"},
		{proc.Crash{Point: "in-handler", Nth: 1, Method: "m", CallID: "call-2"}, "in-handler:3"},
	} {
		select {
		case at := <-held:
			if at != want.at {
				t.Fatalf("held is %+v; want %+v", at, want.at)
			}
		case <-time.After(patience.Soon):
			t.Fatalf("nothing is held at %s", want.at.Point)
		}
		if err := p.Arm(t.Context(), want.next); err != nil {
			t.Fatal(err)
		}
	}
	if exit := wait(t, p); exit.Crash.Point != "in-handler" || exit.Crash.CallID != "call-5" {
		t.Errorf("exit %+v", exit)
	}
	last := ""
	for len(lines) > 0 {
		last = <-lines
	}
	if last != "passed claimed 5" {
		t.Errorf("the last line is %q", last)
	}
}

func TestChancesOfACrashComeFromTheSeed(t *testing.T) {
	t.Parallel()
	crashes := func(seed uint64) (found []proc.Crash) {
		options := roleOptions("points")
		options.Crash, options.Seed = "delivered:1/20,published:1/20", seed
		p := start(t, options)
		for len(found) < 3 {
			found = append(found, wait(t, p).Crash)
			if err := p.Restart(t.Context()); err != nil && p.PID() != 0 {
				t.Fatal(err)
			}
		}
		return found
	}
	a, b, other := fmt.Sprint(crashes(3)), fmt.Sprint(crashes(3)), fmt.Sprint(crashes(1003))
	if a != b || a == other {
		t.Errorf("seed 3: %s and %s; seed 1003: %s", a, b, other)
	}
}

func TestPlanIsCheckedByParentAndChild(t *testing.T) {
	t.Parallel()
	for _, plan := range []proc.Plan{"nowhere", "acked:0", "acked:-1", "acked:x", "acked:2/1", "acked:1/0", "acked:", ",", "acked:1/2/3", "acked:hold:2", "acked:held"} {
		if plan.Check() == nil {
			t.Errorf("plan %q is accepted", plan)
		}
	}
	for _, plan := range []proc.Plan{"", "acked", " acked:3 , claimed:1/50", "acked:hold"} {
		if err := plan.Check(); err != nil {
			t.Errorf("plan %q: %v", plan, err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=points", proc.EnvCrash+"=nowhere")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "nowhere") {
		t.Errorf("a child with a plan of nonsense: %v, %s", err, out)
	}
}

func TestPlanFromTheEnvironmentAloneIsObeyed(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=points", proc.EnvCrash+"=claimed:2")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != -1 || !strings.Contains(string(out), "killed at claimed (time 2), call call-2 of m") {
		t.Errorf("error %v, output %s", err, out)
	}
}

func TestWithoutChaosChildDoesNothing(t *testing.T) {
	t.Parallel()
	control, err := proc.Child()
	if err != nil || control.UnderChaos() {
		t.Errorf("control %+v, %v", control, err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=points")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "passed acked 100\n") {
		t.Errorf("error %v, output %s", err, out)
	}
}

// The server is killed at each of its points in the way of a call, and supervised;
// the call is answered nevertheless.
func TestCallIsAnsweredThoughItsServerDiesAtAnyPoint(t *testing.T) {
	t.Parallel()
	url, folder := rabbit.VHost(t), t.TempDir()
	options := roleOptions("server", envURL+"="+url, envFile+"="+folder)
	var ready atomic.Int64
	options.OnLine = func(line string) {
		if line == options.Ready {
			ready.Add(1)
		}
	}
	p := start(t, options)
	ctx, cancel := context.WithCancel(t.Context())
	died := make(chan proc.Exit, 100)
	var supervisor sync.WaitGroup
	supervisor.Go(func() { _ = p.Supervise(ctx, func(e proc.Exit) { died <- e }) })
	t.Cleanup(supervisor.Wait)
	t.Cleanup(cancel)
	c, err := client.New(client.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })

	for _, point := range proc.Points()[3:] { // those of a server
		patience.Eventually(t, "it is armed with "+point, func() bool {
			return int(ready.Load()) == p.Starts() && p.Arm(t.Context(), proc.Plan(point)) == nil
		})
		reply, err := c.Call(t.Context(), "append", []byte(point),
			client.WithCallID("call-"+point), client.Idempotent(), client.WithTimeout(patience.Soon))
		if err != nil || string(reply.Body) != point {
			t.Fatalf("%s: reply %v, %v", point, reply, err)
		}
		// It may be the call before that dies here, delivered again after its own crash.
		if exit := <-died; exit.Crash.Point != point || !strings.HasPrefix(exit.Crash.CallID, "call-") {
			t.Errorf("%s: exit %+v", point, exit)
		}
	}
	effects, err := os.ReadFile(filepath.Join(folder, "effects"))
	if err != nil {
		t.Fatal(err)
	}
	for point, want := range map[string]int{
		"delivered": 1, "claimed": 1, "in-handler": 1, "effect-done": 2, "committing": 2,
		"committed": 1, "reply-published": 1, "reply-confirmed": 1, "acked": 1,
	} {
		if n := strings.Count(string(effects), "call-"+point+"\n"); n != want {
			t.Errorf("killed at %s: %d effects; want %d", point, n, want)
		}
	}
}

func TestClientDiesAtAnyOfItsPoints(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	start(t, roleOptions("server", envURL+"="+url, envFile+"="+t.TempDir()))
	for _, point := range proc.Points()[:3] {
		options := roleOptions("caller", envURL+"="+url)
		options.Ready, options.Crash = "", proc.Plan(point)
		if exit := wait(t, start(t, options)); exit.Crash.Point != point {
			t.Errorf("%s: exit %+v", point, exit)
		}
	}
}
