//go:build linux

package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/patience"
)

func TestKilledProcessIsStartedAgain(t *testing.T) {
	t.Parallel()
	p := start(t, roleOptions("plain"))
	first := p.PID()
	p.Kill()
	p.Kill() // legal, without effect
	if exit := wait(t, p); exit.Start != 1 || exit.Code != -1 || exit.Signal != "killed" || exit.Crash.Point != "" {
		t.Errorf("exit %+v; want a kill from outside", exit)
	}
	if p.PID() != 0 || runs(strconv.Itoa(first)) {
		t.Errorf("process %d runs after the kill", first)
	}
	for range 2 { // of one that has ended, and of one that runs
		if err := p.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p.Starts() != 3 || p.PID() == 0 || p.PID() == first || len(p.Exits()) != 2 {
		t.Errorf("%d starts, process %d, exits %+v", p.Starts(), p.PID(), p.Exits())
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, p); exit.Start != 3 || exit.Code != 0 || exit.Signal != "" {
		t.Errorf("exit %+v; want one in order", exit)
	}
}

func TestStartTellsWhyAProcessIsNotReady(t *testing.T) {
	t.Parallel()
	if _, err := proc.Start(t.Context(), roleOptions("broken")); !errors.Is(err, proc.ErrEnded) {
		t.Errorf("of a process that ends at once: %v", err)
	}
	never := roleOptions("plain")
	never.Ready, never.ReadyWithin = "steady", 100*time.Millisecond
	if _, err := proc.Start(t.Context(), never); err == nil || !strings.Contains(err.Error(), "100ms") {
		t.Errorf("of a process that is never ready: %v", err)
	}
	for _, wrong := range []proc.Options{
		{}, {Path: "/nonexistent"}, {Path: "true", Crash: "nowhere"}, {Path: "true", BackoffMin: time.Second, BackoffMax: 1},
	} {
		if p, err := proc.Start(t.Context(), wrong); err == nil {
			_ = p.Close()
			t.Errorf("started %+v", wrong)
		}
	}
}

func TestOutputGoesToTheLogAndTheTest(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var lines []string
	options := roleOptions("brief")
	options.Log = filepath.Join(t.TempDir(), "log")
	options.OnLine = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	}
	p := start(t, options)
	wait(t, p)
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, p)
	text, err := os.ReadFile(options.Log)
	mu.Lock()
	defer mu.Unlock()
	if err != nil || string(text) != "ready\nready\n" || len(lines) != 2 {
		t.Errorf("the log holds %q, %v; lines %q", text, err, lines)
	}
}

func TestFrozenProcessDoesNothingUntilThawed(t *testing.T) {
	t.Parallel()
	var lines atomic.Int64
	options := roleOptions("idle")
	options.OnLine = func(string) { lines.Add(1) }
	p := start(t, options)
	patience.Eventually(t, "it speaks", func() bool { return lines.Load() > 3 })
	if err := p.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := int64(-1)
	same := 0
	patience.Eventually(t, "what it had said is read", func() bool { // so it looks for a while
		now := lines.Load()
		if same++; now != before {
			before, same = now, 0
		}
		time.Sleep(10 * time.Millisecond)
		return same == 30
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.Sample(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen process answered: %v", err)
	}
	if lines.Load() != before {
		t.Error("a frozen process spoke")
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "it speaks again", func() bool { return lines.Load() > before })
	if _, err := p.Sample(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Kill() // a frozen one too
	if err := p.Freeze(t.Context()); !errors.Is(err, proc.ErrEnded) {
		t.Errorf("froze a process that has ended: %v", err)
	}
}

func TestSampleTellsWhatAProcessUses(t *testing.T) {
	t.Parallel()
	s, err := start(t, roleOptions("idle")).Sample(t.Context())
	if err != nil || s.PID == 0 || s.Descriptors < 5 || s.RSS < 1<<20 || s.Goroutines < 2 || s.Heap < 1<<10 {
		t.Errorf("sample %+v, %v", s, err)
	}
	p := start(t, roleOptions("plain"))
	s, err = p.Sample(t.Context())
	if err != nil || s.Descriptors < 3 || s.RSS < 1<<20 || s.Goroutines != -1 || s.Heap != 0 {
		t.Errorf("sample of a process that does not call Child: %+v, %v", s, err)
	}
	if err := p.Arm(t.Context(), "acked"); !errors.Is(err, proc.ErrNotControlled) {
		t.Errorf("armed it: %v", err)
	}
	p.Kill()
	if _, err = p.Sample(t.Context()); !errors.Is(err, proc.ErrEnded) {
		t.Errorf("sample of a process that has ended: %v", err)
	}
}

func TestClockStepsBothWays(t *testing.T) {
	t.Parallel()
	said := make(chan string, 1)
	options := roleOptions("idle")
	options.ClockOffset = -time.Hour
	options.OnLine = func(line string) {
		select {
		case <-said:
		default:
		}
		said <- line
	}
	p := start(t, options)
	for _, step := range []time.Duration{-time.Hour, time.Hour, 0} {
		if step != -time.Hour {
			if err := p.SetClock(t.Context(), step); err != nil {
				t.Fatal(err)
			}
		}
		patience.Eventually(t, "the clock is off by "+step.String(), func() bool { return <-said == "off "+step.String() })
	}
}

func TestSuperviseRestartsWithinBounds(t *testing.T) {
	t.Parallel()
	options := roleOptions("brief")
	options.BackoffMin, options.BackoffMax = 5*time.Millisecond, 40*time.Millisecond
	p := start(t, options)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var exits []int
	began := time.Now()
	err := p.Supervise(ctx, func(e proc.Exit) {
		if exits = append(exits, e.Start); len(exits) == 6 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || fmt.Sprint(exits) != "[1 2 3 4 5 6]" {
		t.Errorf("error %v, exits %v", err, exits)
	}
	// 5, 10, 20, 40, 40: waits may be longer, and never shorter.
	if took := time.Since(began); took < 115*time.Millisecond {
		t.Errorf("five restarts took %v; want at least 115 ms", took)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Supervise(t.Context(), nil); err == nil {
		t.Error("supervises a process that is closed")
	}
}

func TestKillAtARandomTime(t *testing.T) {
	t.Parallel()
	p := start(t, roleOptions("plain"))
	random := rand.New(rand.NewPCG(1, 2))
	if err := p.KillWithin(t.Context(), 0, 20*time.Millisecond, random); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, p); exit.Signal != "killed" {
		t.Errorf("exit %+v", exit)
	}
	if err := p.KillWithin(t.Context(), 0, 0, random); !errors.Is(err, proc.ErrEnded) {
		t.Errorf("killed a process that has ended: %v", err)
	}
}

func TestCloseEndsWhatHasLeftTheGroup(t *testing.T) {
	t.Parallel()
	var grandchild string
	options := roleOptions("clan")
	options.ReadyWhen = func(line string) (ok bool) {
		grandchild, ok = strings.CutPrefix(line, "ready ")
		return ok
	}
	p := start(t, options)
	if !runs(grandchild) {
		t.Fatal("the grandchild does not run")
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if runs(grandchild) {
		t.Error("the grandchild outlives Close")
	}
	if err := p.Restart(t.Context()); err == nil {
		t.Error("restarted a closed process")
	}
}

func TestNothingOutlivesAKilledTest(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=parent")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	var said bytes.Buffer
	for buf := make([]byte, 100); !bytes.Contains(said.Bytes(), []byte("\n")); {
		n, err := stdout.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(buf[:n])
	}
	pids := strings.Fields(strings.TrimPrefix(said.String(), "ready "))
	if len(pids) != 3 {
		t.Fatalf("the parent said %q", said.String())
	}
	for _, pid := range pids {
		if !runs(pid) {
			t.Errorf("process %s does not run before the kill", pid)
		}
	}
	_ = cmd.Process.Signal(syscall.SIGKILL)
	for _, pid := range pids {
		patience.Eventually(t, "process "+pid+" is gone", func() bool { return !runs(pid) })
	}
}
