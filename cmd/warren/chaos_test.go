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
			folder := filepath.Join(t.TempDir(), "run")
			r := command("", "chaos", "--duration", c.duration, "--mode", c.mode, "--faults", c.faults, "--seed", "7", "--json", "--folder", folder,
				"--grace", (patience.Soon / 30).String(), "--recovery", (patience.Soon / 2).String()).start(t) // tests of other packages run beside it
			select {
			case <-r.done:
			case <-time.After(runPatience):
				_ = r.cmd.Process.Signal(syscall.SIGTERM)
				r.wait(t)
			}
			if r.code != 0 {
				t.Fatalf("exit code %d: %s\n%s", r.code, r.stdout.String(), r.stderr.String())
			}
			object := r.object(t)
			if calls, _ := object["calls"].(float64); object["verdict"] != "ok" || calls < 100 {
				t.Errorf("%v", object)
			}
			faults, _ := object["faults"].(map[string]any)
			for _, name := range []string{"kill-server", "broker-kill", "alarm"} {
				if n, _ := faults[name].(float64); n < 1 {
					t.Errorf("there was no %s: %v", name, faults)
				}
			}
			page, err := os.ReadFile(filepath.Join(folder, "report.html"))
			if err != nil || !strings.Contains(string(page), "<svg") {
				t.Errorf("the page: %v, %d bytes", err, len(page))
			}
		})
	}
}
