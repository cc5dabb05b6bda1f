package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	examplePolicy = "../../docs/examples/policy.yaml"
	badPolicies   = "../../reliability/policyfile/testdata/bad/"
)

func TestPolicyCheckOfASoundFileSaysNothing(t *testing.T) {
	t.Parallel()
	r := invoke(t, "", "policy", "check", examplePolicy).want(t, 0)
	if r.stdout.String() != "" || r.said() != "" {
		t.Errorf("%q, standard error %q", r.stdout.String(), r.stderr.String())
	}
	const want = `{"ok":true,"errors":0,"warnings":0,"findings":[]}` + "\n"
	if out := invoke(t, "", "policy", "check", "--json", examplePolicy).want(t, 0).stdout.String(); out != want {
		t.Errorf("%s", out)
	}
}

func TestPolicyCheckOfBadFilesSaysWhatAndWhere(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(badPolicies + "*.yaml")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	seen := map[string]string{}
	line := regexp.MustCompile(`^[^ ]+\.yaml:\d+:\d+: error: (.+)\n([^ ]+ warning: .+\n)?$`)
	for _, path := range paths {
		r := invoke(t, "", "policy", "check", path).want(t, exitUsage)
		found := line.FindStringSubmatch(r.stdout.String())
		if found == nil || !strings.HasPrefix(r.stdout.String(), path+":") || r.said() != "" {
			t.Errorf("%s: %q, standard error %q", path, r.stdout.String(), r.stderr.String())
			continue
		}
		if other := seen[found[1]]; other != "" {
			t.Errorf("%s and %s are told alike: %s", path, other, found[1])
		}
		seen[found[1]] = path
		explained := invoke(t, "", "policy", "explain", path, "users.get").want(t, exitUsage)
		if text := explained.wantLine(t); !strings.Contains(text, found[1]) || explained.stdout.String() != "" {
			t.Errorf("explain %s: %q", path, text)
		}
	}
}

func TestPolicyCheckTellsWarnings(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "policy.json")
	text := `{"methods": {"*": {"budget": "off", "retry": {"jitter": false}}}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + ":1:20: warning: methods.*.budget: is off: while everything fails, retries multiply the load\n" +
		path + ":1:47: warning: methods.*.retry.jitter: is false: callers that failed together come again together\n"
	if out := invoke(t, "", "policy", "check", path).want(t, 0).stdout.String(); out != want {
		t.Errorf("%s", out)
	}
	strict := strings.ReplaceAll(want, "warning", "error")
	if out := invoke(t, "", "policy", "check", "--strict", path).want(t, exitUsage).stdout.String(); out != strict {
		t.Errorf("%s", out)
	}
	out := invoke(t, "", "policy", "check", "--json", path).want(t, 0).stdout.String()
	first := `{"ok":true,"errors":0,"warnings":2,"findings":[{"file":"` + path + `","line":1,"column":20,"level":"warning",` +
		`"path":"methods.*.budget","message":"is off: `
	if !strings.HasPrefix(out, first) || strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
}

func TestPolicyExplainShowsValuesOriginsAndTimes(t *testing.T) {
	t.Parallel()
	out := invoke(t, "", "policy", "explain", examplePolicy, "orders.place").want(t, 0).stdout.String()
	for _, want := range []string{
		`(?m)^timeout +10s +orders\.place \(line \d+\)$`,
		`(?m)^retry\.most +2s +\* \(line \d+\)$`,
		`(?m)^retry\.jitter +true +default$`,
		`(?m)^hedge +off +default$`,
		`(?m)^attempt 1  starts 0\.00s        ends by 2\.00s$`,
		`(?m)^attempt 2  starts 2\.00s–2\.20s  ends by 4\.20s$`,
		`(?m)^attempt 4  starts 6\.00s–7\.40s  ends by 10\.00s$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	for method, want := range map[string]string{
		"payments.charge": "only if those before it are proven not to have been executed",
		"orders.getAll":   "hedge      after the 95th percentile",
		"reports.daily":   "A call with 15m0s",
	} {
		if out := invoke(t, "", "policy", "explain", examplePolicy, method).want(t, 0).stdout.String(); !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", method, want, out)
		}
	}
}

func TestPolicyExplainAsJSON(t *testing.T) {
	t.Parallel()
	out := invoke(t, "", "policy", "explain", "--json", examplePolicy, "orders.place").want(t, 0).stdout.String()
	for _, want := range []string{
		`^\{"method":"orders\.place","settings":\[\{"field":"timeout","value":"10s","from":"orders\.place","line":\d+\},`,
		`\{"field":"retry\.jitter","value":"true","from":"default"\},`,
		`"timeline":\[\{"attempt":1,"when":"in_vain","earliest_ms":0,"latest_ms":0,"end_ms":2000\},`,
		`\{"attempt":2,"when":"in_vain","earliest_ms":2000,"latest_ms":2200,"end_ms":4200\},`,
		`"end_ms":10000\}\]\}\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in %s", want, out)
		}
	}
}

func TestWrongUseOfPolicyCommands(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{
		{"policy"},
		{"policy", "nosuch"},
		{"policy", "check"},
		{"policy", "check", "a", "b"},
		{"policy", "check", "--bogus", examplePolicy},
		{"policy", "check", "testdata/nosuch.yaml"},
		{"policy", "check", "."},
		{"policy", "explain", examplePolicy},
		{"policy", "explain", examplePolicy, "a/b"},
		{"policy", "explain", examplePolicy, "orders.*"},
		{"policy", "explain", "testdata/nosuch.yaml", "a"},
		{"policy", "explain", examplePolicy, "a", "b"},
	} {
		r := invoke(t, "", line...).want(t, exitUsage)
		if text := r.wantLine(t); len(text) > 300 || r.stdout.String() != "" || strings.Contains(text, "policyfile:") {
			t.Errorf("%v: %q, standard output %q", line, text, r.stdout.String())
		}
	}
}

func TestHelpOfPolicyCommands(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{{"policy"}, {"policy", "check"}, {"policy", "explain"}} {
		out := invoke(t, "", append(line, "--help")...).want(t, 0).stdout.String()
		for _, want := range []string{"warren " + strings.Join(line, " "), "Examples:"} {
			if !strings.Contains(out, want) {
				t.Errorf("%v: no %q in %s", line, want, out)
			}
		}
	}
	if out := invoke(t, "", "help", "policy").want(t, 0).stdout.String(); !strings.Contains(out, "explain") {
		t.Errorf("%s", out)
	}
}
