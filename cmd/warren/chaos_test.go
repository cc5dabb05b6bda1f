package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChaosBreaksThingsAndFindsPromisesKept(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transactional", "at-most-once", "at-least-once"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "run")
			r := invoke(t, "", "chaos", "--duration", "12s", "--mode", mode, "--seed", "7", "--json", "--folder", folder)
			if r.code != 0 {
				t.Fatalf("exit code %d: %s\n%s", r.code, r.stdout.String(), r.stderr.String())
			}
			object := wantKeys(t, r.object(t), "verdict", "calls", "faults", "invariants")
			if calls, _ := object["calls"].(float64); object["verdict"] != "ok" || calls < 100 {
				t.Errorf("%v", object)
			}
			faults, _ := object["faults"].(map[string]any)
			for _, name := range []string{"kill-server", "cut", "broker-kill"} {
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
