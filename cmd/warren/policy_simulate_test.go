package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPolicySimulatePrintsATableAndAPlot(t *testing.T) {
	t.Parallel()
	const head = "orders.getAll: 50 clients, 500 calls/s for 1m0s; outage (silent) of 10s at 20s\n\n"
	out := invoke(t, "", "policy", "simulate", examplePolicy, "orders.getAll").want(t, 0).stdout.String()
	if !strings.HasPrefix(out, head) {
		t.Errorf("%s", out)
	}
	for _, row := range []string{
		"calls", "errors", "latency", "attempts", "servers", "breakers", "recovery", "seconds", "outage", "success", "queue",
	} {
		if !strings.Contains(out, "\n"+row+" ") {
			t.Errorf("there is no line %s in\n%s", row, out)
		}
	}
	_, plot, _ := strings.Cut(out, "\nseconds")
	for line := range strings.Lines(plot) {
		if n := utf8.RuneCountInString(line); n > 130 {
			t.Errorf("a line of the plot has %d characters: %s", n, line)
		}
	}
	again := invoke(t, "", "policy", "simulate", examplePolicy, "orders.getAll").want(t, 0).stdout.String()
	if again != out {
		t.Error("the same command prints something else the second time")
	}
	long := invoke(t, "", "policy", "simulate", "--duration", "10m", "--rate", "20", examplePolicy, "reports.daily").want(t, 0)
	if !strings.Contains(long.stdout.String(), "one block is 8 s\n") {
		t.Errorf("%s", long.stdout.String())
	}
}

func TestPolicySimulateAsJSONTellsHowToRepeatIt(t *testing.T) {
	t.Parallel()
	r := invoke(t, "", "policy", "simulate", "--json", "--outage-kind", "no-route", "--outage", "5s", "--seed", "7",
		"--errors", "0.1", "--error-code", "aborted", "--error-outcome", "not_executed", examplePolicy, "orders.place").want(t, 0)
	var got struct {
		policySimulation
		Scenario map[string]any `json:"scenario"`
	}
	if err := json.Unmarshal([]byte(r.stdout.String()), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"clients": 50.0, "rate": 500.0, "seed": 7.0, "outage_kind": "no_route", "outage_ms": 5000.0, "error_code": "aborted",
		"error_outcome": "not_executed", "latency_shape": "lognormal", "latency_p99_ms": 200.0,
	} {
		if got.Scenario[name] != want {
			t.Errorf("%s is %v; want %v", name, got.Scenario[name], want)
		}
	}
	if got.Method != "orders.place" || got.Calls < 25_000 || got.Recovery == nil || len(got.Seconds) < 60 || got.Opened == 0 {
		t.Errorf("%s", r.stdout.String()[:500])
	}
}

func TestPolicySimulateWritesAPlotThatIsXML(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plot.svg")
	invoke(t, "", "policy", "simulate", "--svg", path, "--duration", "1h", "--rate", "5", "--clients", "3", examplePolicy,
		"orders.getAll").want(t, 0)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 20_000 {
		t.Errorf("it has %d bytes", len(text))
	}
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "http://www.w3.org/1999", "<script", "href"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("it has %s in it", bad)
		}
	}
}

func TestPolicySimulateSaysWhichFlagIsWrong(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"--clients 0":                     "--clients is 0; it must be from 1 to 10000",
		"--rate -1":                       "--rate is -1; it must be above 0",
		"--rate 1e9":                      "--rate and --duration make 60000000000 calls",
		"--duration 1ms":                  "--duration is 1ms",
		"--latency 0s":                    "--latency is 0s",
		"--latency-p99 1ms":               "--latency-p99 is 1ms; it must be from 20ms",
		"--latency-shape round":           `--latency-shape is "round"`,
		"--errors 2":                      "--errors is 2; it must be from 0 to 1",
		"--error-code nosuch":             "--error-code: ",
		"--error-outcome maybe":           "--error-outcome must be executed or not_executed",
		"--outage -1s":                    "--outage is -1s",
		"--outage-start -1s":              "--outage-start is -1s",
		"--outage-kind loud":              `--outage-kind is "loud"`,
		"--capacity -1":                   "--capacity is -1",
		"--queue -1":                      "--queue is -1",
		"--svg /nosuch/folder/x.svg":      "/nosuch/folder/x.svg",
		"--clients many":                  "many",
		"--svg x.svg --clients 3 --bogus": "bogus",
	} {
		args := append([]string{"policy", "simulate"}, strings.Fields(flags)...)
		r := invoke(t, "", append(args, examplePolicy, "users.get")...).want(t, exitUsage)
		if text := r.wantLine(t); !strings.Contains(text, want) || r.stdout.String() != "" {
			t.Errorf("%s: %q", flags, text)
		}
	}
	for _, args := range [][]string{{}, {examplePolicy}, {examplePolicy, "a b"}, {"nosuch.yaml", "a"}, {examplePolicy, "a", "b"}} {
		invoke(t, "", append([]string{"policy", "simulate"}, args...)...).want(t, exitUsage).wantLine(t)
	}
}
