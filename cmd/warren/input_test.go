package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runWith runs the tool in this process.
func runWith(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = run(append([]string{"warren"}, args...), strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestFilesAreReadFromStandardInput(t *testing.T) {
	t.Parallel()
	const policy = "methods:\n  orders.*: {timeout: 3s}\n"
	if code, out, errs := runWith(policy, "policy", "check", "-"); code != 0 || out != "" || errs != "" {
		t.Errorf("check ends with %d, %s%s", code, out, errs)
	}
	code, out, _ := runWith("methods:\n  a: {retry: {attempts: 9}}\n", "policy", "check", "-")
	if code != exitUsage || !strings.HasPrefix(out, "standard input:2:") {
		t.Errorf("check ends with %d, %s", code, out)
	}
	if code, out, errs := runWith(policy, "policy", "explain", "-", "orders.place"); code != 0 || !strings.Contains(out, "3s") {
		t.Errorf("explain ends with %d, %s%s", code, out, errs)
	}
	if code, out, errs := runWith(policy, "policy", "simulate", "--rate", "1", "-", "orders.place"); code != 0 && !strings.Contains(errs, "--rate") {
		t.Errorf("simulate ends with %d, %s%s", code, out, errs)
	}
	if code, _, errs := runWith("routes: [", "gateway", "--config", "-"); code != exitUsage || !strings.Contains(errs, "standard input:1:") {
		t.Errorf("gateway ends with %d, %s", code, errs)
	}
}

func TestHeaderThatIsGivenTwiceIsRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--header", "k=1", "--header", "k=2"}, {"--header", "k=", "-H", "k="}} {
		code, _, errs := runWith("", append([]string{"call", "m", "x"}, args...)...)
		if code != exitUsage || !strings.Contains(errs, `--header "k" is given twice`) {
			t.Errorf("%v: %d, %s", args, code, errs)
		}
	}
}

// With --json whatever fails prints one object on standard output, and its error on
// standard error.
func TestFailuresPrintOneObject(t *testing.T) {
	t.Parallel()
	notThere := filepath.Join(t.TempDir(), "x")
	broken := filepath.Join(t.TempDir(), "broken.db")
	if err := os.WriteFile(broken, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	const unreachable = "amqp://127.0.0.1:1/"
	for _, line := range [][]string{
		{"--json"}, {"nosuch", "--json"}, {"call", "--json"}, {"call", "--json", "--bogus", "x"}, {"call", "a b", "--json=true"},
		{"call", "x", "--json", "--url", unreachable, "--timeout", "300ms"}, {"ping", "x", "--json", "--url", unreachable, "--timeout", "300ms"},
		{"resolve", "x", "y", "--json", "--url", unreachable, "--timeout", "300ms"}, {"queues", "x", "--json", "--url", unreachable, "--timeout", "300ms"},
		{"dead", "list", "x", "--json", "--url", unreachable, "--timeout", "300ms"}, {"dead", "show", "x", "y", "--json", "--url", unreachable, "--timeout", "300ms"},
		{"dead", "replay", "x", "y", "--json", "--url", unreachable, "--timeout", "300ms"}, {"dead", "drop", "x", "y", "--json"},
		{"store", "stats", notThere, "--json"}, {"store", "get", notThere, "00", "--json"}, {"store", "check", broken, "--json"},
		{"store", "compact", broken, "--json"}, {"store", "export", broken, "--json"}, {"policy", "check", notThere, "--json"},
		{"policy", "explain", notThere, "m", "--json"}, {"policy", "simulate", notThere, "m", "--json"}, {"config", "--config", notThere, "--json"},
		{"gateway", "--json"}, {"gateway", "--json", "--config", notThere}, {"serve", "--json", "--url", unreachable, "--connect-timeout", "300ms"},
		{"serve", "--json", "--store", notThere + "/y"}, {"broker", "--json", "--listen", "nowhere"}, {"demo", "--json", "--calls", "0"},
		{"bench", "--json", "--rounds", "0"}, {"chaos", "--json", "--mode", "x"}, {"chaos", "--json", "--servers", "2"}, {"chaos", "--json", "--store", "postgres", "--servers", "10"}, {"completion", "x", "--json"},
	} {
		code, out, errs := runWith("", line...)
		var object map[string]any
		if err := json.Unmarshal([]byte(out), &object); err != nil || strings.Count(out, "\n") != 1 || code == 0 {
			t.Errorf("%v ends with %d, and prints %q", line, code, out)
			continue
		}
		if object["error"] == nil {
			continue // an object of the command's own
		}
		if object["ok"] != false || fmt.Sprint(object["exit_code"]) != fmt.Sprint(code) || !strings.HasSuffix(errs, fmt.Sprintf("warren: %v\n", object["error"])) {
			t.Errorf("%v ends with %d, prints %s, and says %q", line, code, out, errs)
		}
	}
	if _, out, _ := runWith("", "call", "a b", "--", "--json"); out != "" {
		t.Errorf("without the flag it prints %q", out)
	}
}
