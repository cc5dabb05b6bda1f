package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runPatience is how long a run of 15 s may take on a machine that has more to do.
const runPatience = 4 * time.Minute

func TestChaosBreaksThingsAndFindsPromisesKept(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transactional", "at-most-once", "at-least-once"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "run")
			// Not poison: it is parked only after a minute.
			r := command("", "chaos", "--duration", "15s", "--mode", mode, "--seed", "7", "--json", "--folder", folder,
				"--grace", "2s", "--recovery", "30s", // tests of other packages run beside it
				"--faults", "kill-server,cut,half-open,stall,broker-kill,close-connections,alarm,delete-queue,freeze-server").start(t)
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
