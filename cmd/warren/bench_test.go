package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/rabbit"
)

func TestBenchPrintsAnObjectPerVariant(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	quick := []string{"bench", "--sizes", "8", "--inflight", "1,2", "--rounds", "1", "--duration", "20ms", "--warm-up", "10ms", "--variants", "warren-classic,raw-fast,raw-best"}
	r := invoke(t, url, append(quick, "--json", "--quiet")...).want(t, 0)
	var variants []string
	for line := range strings.Lines(r.stdout.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		// The CPU time of a broker that is not the tool's own is not known.
		wantKeys(t, object, "variant", "size", "inflight", "calls_per_s", "p50_us", "p99_us",
			"client_cpu_us", "server_cpu_us", "client_allocs", "server_allocs", "wire_bytes", "ratio")
		variants = append(variants, fmt.Sprint(object["variant"]))
	}
	if got := strings.Join(variants, " "); got != strings.Repeat(" warren-classic raw-fast raw-best", 2)[1:] {
		t.Errorf("variants: %s", got)
	}
	if r.said() != "" {
		t.Errorf("standard error: %q", r.stderr.String())
	}
	r = invoke(t, url, quick...).want(t, 0)
	if !strings.Contains(r.stdout.String(), "calls/s") || !strings.Contains(r.stderr.String(), "round 1 of 1") {
		t.Errorf("standard output %s, standard error %s", r.stdout.String(), r.stderr.String())
	}
}
