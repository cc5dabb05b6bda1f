package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/rabbit"
)

func TestBenchPrintsAnObjectPerVariant(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	quick := []string{"bench", "--sizes", "8", "--inflight", "1,2", "--rounds", "1", "--duration", "20ms", "--warm-up", "10ms", "--variants", "warren-classic,raw-best,warren-classic-postgres,raw-inbox-postgres"}
	r := invoke(t, url, append(quick, "--json", "--quiet")...).want(t, 0)
	var variants []string
	for line := range strings.Lines(r.stdout.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		// The CPU time of a broker that is not the tool's own is not known.
		wantKeys(t, object, "variant", "size", "inflight", "calls_per_s", "p50_us", "p90_us", "p99_us", "p999_us", "max_us",
			"client_cpu_us", "server_cpu_us", "client_allocs", "server_allocs", "wire_bytes", "ratio")
		variants = append(variants, fmt.Sprint(object["variant"]))
	}
	if got := strings.Join(variants, " "); got != strings.Repeat(" warren-classic raw-best warren-classic-postgres raw-inbox-postgres", 2)[1:] {
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

func TestBenchAtARateWritesItsPlotOnlyIfItSucceeds(t *testing.T) {
	t.Parallel()
	url, folder := rabbit.VHost(t), t.TempDir()
	file := filepath.Join(folder, "bench.svg")
	line := []string{"bench", "--rate", "50", "--rounds", "1", "--duration", "100ms", "--warm-up", "10ms", "--variants", "raw-best", "--plot", file}

	invoke(t, "amqp://guest:guest@127.0.0.1:1/", line...).want(t, exitBroker)
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("a run that failed leaves %v, %v", left, err)
	}
	r := invoke(t, url, append(line, "--json", "--quiet")...).want(t, 0)
	var object map[string]any
	if err := json.Unmarshal([]byte(r.stdout.String()), &object); err != nil {
		t.Fatalf("%s: %v", r.stdout.String(), err)
	}
	if object["rate"] != 50.0 || object["inflight"] != 1000.0 || object["reached"] == nil {
		t.Errorf("%s", r.stdout.String())
	}
	svg, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(svg), `data-variant="raw-best"`) {
		t.Errorf("%s", svg)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("beside the plot there are %v, %v", left, err)
	}
}

func TestBenchMeasuresWarrenAgainstWhatIsNamed(t *testing.T) {
	t.Parallel()
	r := invoke(t, rabbit.VHost(t), "bench", "--sizes", "8", "--inflight", "1", "--rounds", "1", "--duration", "20ms", "--warm-up", "10ms",
		"--against", "raw-best", "--json", "--quiet").want(t, 0)
	var variants []string
	for line := range strings.Lines(r.stdout.String()) {
		var object struct{ Variant string }
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		variants = append(variants, object.Variant)
	}
	if want := append(slices.Clone(benchWarren), "raw-best"); !slices.Equal(variants, want) {
		t.Errorf("measured %v, want %v", variants, want)
	}
}
