package main

import (
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestDemoWithOneMemoryExecutesNoCallTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		store, shown string
		errors       bool // what kills interrupt is aborted
	}{
		"postgres": {sharedPostgres(t).URL(""), "PostgreSQL", false},
		"redis":    {"redis", "Redis", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, rabbit.VHost(t), "demo", "--json", "--calls", "200", "--kills", "8", "--rate", "0", "--inflight", "16", "--seed", "1",
				"--store", c.store).want(t, 0)
			object := wantKeys(t, r.object(t), append(slices.Clone(demoKeys), "store", "executed")...)
			for key, want := range map[string]any{
				"calls": 200.0, "kills": 8.0, "lost": 0.0, "mismatched": 0.0, "duplicate_effects": 0.0, "store": c.shown,
			} {
				if object[key] != want {
					t.Errorf("%s is %v, want %v", key, object[key], want)
				}
			}
			ok, executed := as[float64](t, object["ok"]), as[float64](t, object["executed"])
			if executed < ok || executed > 200 || !c.errors && (ok != 200 || executed != 200) || c.errors && ok < 100 {
				t.Errorf("%v answered, %v executed: %v", ok, executed, object)
			}
			for code := range as[map[string]any](t, object["errors"]) {
				if !c.errors || code != "aborted" {
					t.Errorf("the errors are %v", object["errors"])
				}
			}
			if c.store != name {
				left, err := sharedPostgres(t).Exec(t.Context(), "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'warren_demo%'")
				if err != nil || left != "" {
					t.Errorf("schemas are left: %s, %v", left, err)
				}
			}
		})
	}
}

func TestDemoSaysWhatTheStoreHasDone(t *testing.T) {
	t.Parallel()
	r := invoke(t, "", "demo", "--calls", "40", "--kills", "2", "--rate", "0", "--servers", "3", "--store", "redis").want(t, 0)
	for _, want := range []string{
		"to 3 servers with one memory in Redis", "executed more than once        0   at-most-once", "Every call that was answered was executed, and none twice.",
	} {
		if !strings.Contains(r.stdout.String(), want) {
			t.Errorf("no %q in %s", want, r.stdout.String())
		}
	}
}

func TestInterruptedDemoLeavesNothingOfItsDatabase(t *testing.T) {
	t.Parallel()
	// PostgreSQL may run as another user, who must be able to enter the folder.
	folder, err := os.MkdirTemp("", "warren-demo-") //nolint:usetesting // as said: nobody else may enter that one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o711); err != nil {
		t.Fatal(err)
	}
	r := command("", "demo", "--calls", "100000", "--kills", "1000", "--store", "postgres")
	r.cmd.Env = append(r.cmd.Env, "TMPDIR="+folder)
	r.start(t)
	patience.Eventually(t, "servers have been killed", func() bool { return strings.Contains(r.stderr.String(), "(server ") })
	started := children(t, r.cmd.Process.Pid)
	if entries, err := os.ReadDir(folder); err != nil || len(entries) == 0 || len(started) < 3 {
		t.Fatalf("the demo has started %v, and has %v, %v", started, entries, err)
	}
	send(t, r, syscall.SIGINT)
	r.wait(t).want(t, exitInterrupted)
	patience.Eventually(t, "what it has started has ended", func() bool {
		return !slices.ContainsFunc(started, func(pid string) bool {
			state, _ := processState(pid)
			return state != "" && state != "Z"
		})
	})
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestDemoWhoseMemoryForgetsIsBroken(t *testing.T) {
	t.Parallel()
	answered := []time.Duration{time.Millisecond, time.Millisecond}
	for _, c := range []struct {
		sums   effectSums
		broken bool
	}{
		{effectSums{executed: 2}, false}, {effectSums{executed: 3}, false}, // one was executed and not answered
		{effectSums{executed: 1}, true}, {effectSums{executed: 2, repeated: 1}, true},
	} {
		result := &demoResult{tallySums: tallySums{begun: 3}, took: answered, memory: &demoMemory{name: "PostgreSQL"}, effectSums: c.sums}
		var stdout strings.Builder
		err := printDemo(&output{stdout: screenOf(&stdout)}, result)
		code := report(screenOf(io.Discard), screenOf(io.Discard), false, err)
		if (code == exitBroken) != c.broken || strings.Contains(stdout.String(), "BROKEN") != c.broken {
			t.Errorf("%+v: exit code %d, %s", c.sums, code, stdout.String())
		}
		result.memory = nil
		if err := printDemo(&output{stdout: screenOf(io.Discard)}, result); err != nil {
			t.Errorf("without a store: %v", err)
		}
	}
}

func TestKillsMeetEveryPointOfAServerWithAStore(t *testing.T) {
	t.Parallel()
	counts := map[crashpoint.Point]int{}
	for _, p := range killPoints(16, 7, (&demoMemory{}).points()) {
		counts[p]++
	}
	if len(counts) != 8 || slices.Max(slices.Collect(maps.Values(counts))) != 2 {
		t.Errorf("16 kills are %v", counts)
	}
}

func TestDemoOfAStoreThatItCannotUseIsWrongUsage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "mysql", "calls.db", "redis://:s3cr3t@localhost/0", "postgres://u:s3cr3t@h:port/db"} {
		line := invoke(t, "", "demo", "--store", text).want(t, exitUsage).wantLine(t)
		if strings.Contains(line, "s3cr3t") {
			t.Errorf("standard error: %s", line)
		}
	}
}
