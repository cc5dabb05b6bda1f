package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/patience"
)

// runPatience is how long a run of a minute may take on a machine that has more to
// do: a poisonous call is parked only after a minute, too.
var runPatience = 7 * patience.Soon

func TestChaosBreaksThingsAndFindsPromisesKept(t *testing.T) {
	t.Parallel()
	const most = "kill-server,kill-client,cut,half-open,stall,broker-kill,alarm,delete-queue,freeze-server,duplicate,reorder,forge,stranger,unserved," +
		"unreadable,refused,other-store,retention,skew"
	for _, c := range []struct{ mode, duration, faults string }{
		{"transactional", "60s", ""}, // all there are
		{"at-most-once", "20s", most},
		{"at-least-once", "20s", most},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			keepsPromises(t, []string{"kill-server", "broker-kill", "alarm"}, "--duration", c.duration, "--mode", c.mode, "--faults", c.faults)
		})
	}
}

func TestServersThatSharePostgreSQLKeepPromises(t *testing.T) {
	t.Parallel()
	const faults = "kill-server,freeze-server,cut:store,stall:store,kill-postgres,duplicate"
	for _, c := range []struct {
		mode, duration, faults string
		wanted                 []string
	}{
		{
			"transactional", "30s", faults + ",kill-client,cut,clock,postgres-failover,other-store,retention",
			[]string{"kill-server", "kill-postgres", "postgres-failover", "cut", "stall"},
		},
		{"at-most-once", "20s", faults, []string{"kill-server", "kill-postgres", "cut", "stall"}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			object := keepsPromises(t, c.wanted, "--store", "postgres", "--servers", "3", "--duration", c.duration, "--mode", c.mode, "--faults", c.faults)
			n, _ := object["takeovers"].(float64)
			t.Logf("%v calls were taken over", n) // which a slow machine may come to do for none
			if n > 0 && c.mode == "at-most-once" {
				t.Error("a call was begun twice")
			}
		})
	}
}

// keepsPromises demands that a run, which must have some faults, finds nothing broken.
func keepsPromises(t *testing.T, faults []string, args ...string) (object map[string]any) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "run")
	r := command("", append([]string{"chaos", "--seed", "7", "--json", "--folder", folder,
		"--grace", (patience.Soon / 30).String(), "--recovery", (patience.Soon / 2).String()}, args...)...).start(t) // tests of other packages run beside it
	select {
	case <-r.done:
	case <-time.After(runPatience):
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		r.wait(t)
	}
	if r.code != 0 {
		t.Fatalf("exit code %d: %s\n%s", r.code, r.stdout.String(), r.stderr.String())
	}
	object = r.object(t)
	if calls, _ := object["calls"].(float64); object["verdict"] != "ok" || calls < 100 {
		t.Errorf("%v", object)
	}
	had, _ := object["faults"].(map[string]any)
	for _, name := range faults {
		if n, _ := had[name].(float64); n < 1 {
			t.Errorf("there was no %s: %v", name, had)
		}
	}
	page, err := os.ReadFile(filepath.Join(folder, "report.html"))
	if err != nil || !strings.Contains(string(page), "<svg") {
		t.Errorf("the page: %v, %d bytes", err, len(page))
	}
	return object
}
