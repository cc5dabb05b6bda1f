package policyfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability/policyfile"
)

// The first line of each bad file is what is wrong with it.
func TestBadFilesAreRefusedEachWithItsLine(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := bytes.Cut(data, []byte("\n"))
		want := path + ":" + strings.TrimPrefix(string(first), "# ")
		file, err := policyfile.Load(path)
		var refused *policyfile.Error
		if !errors.As(err, &refused) || len(refused.Findings) != 1 || len(file.Rules.Methods) != 0 {
			t.Errorf("%s: %v, %+v", path, err, file)
			continue
		}
		if got := refused.Findings[0].Diagnostic(); got != want {
			t.Errorf("\n%s\nwant\n%s", got, want)
		}
		if text := err.Error(); strings.Contains(text, "\n") || text != refused.Findings[0].String() {
			t.Errorf("error %q", text)
		}
	}
}

func TestExampleIsSoundAndExplainsEachPattern(t *testing.T) {
	t.Parallel()
	file, err := policyfile.Load(example)
	if err != nil || len(file.Findings) > 0 {
		t.Fatalf("%v, %v", err, file.Findings)
	}
	table, err := policy.NewTable(file.Rules.Methods)
	if err != nil {
		t.Fatal(err)
	}
	for pattern := range file.Rules.Methods {
		method, own := strings.Replace(pattern, "*", "x", 1), 0
		for _, s := range table.Explain(method) {
			if s.From == pattern {
				own++
			}
		}
		if own == 0 || file.LineOf(pattern, "") == 0 {
			t.Errorf("nothing of the policy of %s is from %s", method, pattern)
		}
	}
	for method, check := range map[string]func(*policy.Policy) bool{
		"anything":        func(p *policy.Policy) bool { return p.Timeout == 5*time.Second && !p.Idempotent && !p.Hedge.On },
		"orders.getOne":   func(p *policy.Policy) bool { return p.Idempotent && !p.Hedge.On && p.Timeout == 3*time.Second },
		"orders.getAll":   func(p *policy.Policy) bool { return p.Idempotent && p.Hedge.On && p.Bulkhead.Calls == 200 },
		"payments.charge": func(p *policy.Policy) bool { return !p.Idempotent && len(p.Retry.Codes) == 2 },
		"reports.daily":   func(p *policy.Policy) bool { return p.Breaker.Off && p.Retry.Attempts == 1 },
	} {
		if p := table.Policy(method); !check(p) {
			t.Errorf("%s: %+v", method, p)
		}
	}
}

func TestReadmeShowsASoundFile(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```yaml\n")
	block, _, _ = strings.Cut(block, "```\n")
	if rules, findings, err := policyfile.Parse("README.md", []byte(block)); err != nil || len(findings) > 0 || len(rules.Methods) != 3 {
		t.Errorf("%v, %v, %v", rules, findings, err)
	}
}

func TestFindingsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                     `f:1:1: error: has no "methods"`,
		"# nothing\n":                          `f:1:1: error: has no "methods"`,
		"other: 1":                             `f:1:1: error: other: is not known here; it may have methods`,
		"method:\n":                            `f:1:1: error: method: is not known here; did you mean methods?`,
		"5":                                    `f:1:1: error: is "5"; it must be a mapping`,
		"methods: {}\n---\nmethods: {}\n":      `f:2:1: error: a second document begins here; one is allowed`,
		"methods: [":                           `f:1:1: error: is not YAML: did not find expected node content`,
		"methods:\n  a:\n":                     `f:2:3: warning: methods.a: says nothing`,
		"methods: {a: {}, b: {}}":              "f:1:11: warning: methods.a: says nothing\nf:1:18: warning: methods.b: says nothing",
		"methods: {a: 5}":                      `f:1:11: error: methods.a: is "5"; it must be a mapping`,
		"methods: {a: {attempts: 5}}":          `f:1:15: error: methods.a.attempts: is not known; did you mean attempts in retry?`,
		"methods: {a: {retry: {timeout: 5s}}}": `f:1:23: error: methods.a.retry.timeout: is not known; timeout belongs directly to the pattern`,
		"methods: {a: {retry: {max_attempts: 5}}}": `f:1:23: error: methods.a.retry.max_attempts: is not known; did you mean attempts?`,
		"methods: {a: {hedge: {zzz: 1}}}":          `f:1:23: error: methods.a.hedge.zzz: is not known; it may have delay`,
		"methods: {a: {xyz: 1}}": "f:1:15: error: methods.a.xyz: is not known; it may have " +
			"timeout, attempt_timeout, idempotent, retry, budget, breaker, hedge, bulkhead",
		"methods: {a: {retry: off}}":               `f:1:15: error: methods.a.retry: is "off"; it must be a mapping, of attempts, first, most, jitter, codes, fail_nacked`,
		"methods: {a: {retry: {attempts: \"3\"}}}": `f:1:23: error: methods.a.retry.attempts: is "3"; write a whole number, without quotes`,
		"methods: {a: {retry: {attempts: [3]}}}":   `f:1:23: error: methods.a.retry.attempts: is a list; write a whole number`,
		"methods: {a: {retry: {attempts: 1e99}}}":  `f:1:23: error: methods.a.retry.attempts: is 1e99; it must be a whole number, from 1 to 5`,
		"methods: {a: {retry: {attempts: .nan}}}":  `f:1:23: error: methods.a.retry.attempts: is .nan; it must be a whole number, from 1 to 5`,
		"methods: {a: {budget: {ratio: .inf}}}":    `f:1:24: error: methods.a.budget.ratio: is +Inf; it must be above 0 to 1`,
		"methods: {a: {budget: maybe}}":            `f:1:15: error: methods.a.budget: is "maybe"; write on or off`,
		"methods: {a: {timeout: }}":                `f:1:15: error: methods.a.timeout: is nothing; write a duration such as "250ms"`,
		"methods: {a: {timeout: 2001-01-01}}":      `f:1:15: error: methods.a.timeout: is "2001-01-01"; write a duration such as "250ms"`,
		"methods: {a: {<<: {timeout: 1s}}}":        `f:1:15: error: methods.a: merge keys (<<) are not read; say what patterns share in a shorter pattern`,
		"methods: {[a]: {timeout: 1s}}":            `f:1:11: error: methods: has a key that is a list; it must be a name`,
		"methods: {a: {hedge: {delay: 1s}}}":       `f:1:15: error: methods.a.hedge: hedging may execute a call twice, and the method is not idempotent`,
		"methods: {\"a\\n\\e[31m\": {timeout: 1s}}": `f:1:11: error: methods.a\n\x1b[31m: no method can have this name: ` +
			`method name "a\n\x1b[31m": byte 1 is not one of [A-Za-z0-9._-]`,
		"methods: &a {b: *a}": `f:1:14: error: methods.b.b: is not known; it may have ` +
			"timeout, attempt_timeout, idempotent, retry, budget, breaker, hedge, bulkhead",
		"methods: {a: *nowhere}": `f:1:1: error: is not YAML: unknown anchor 'nowhere' referenced`,
	} {
		_, findings, err := policyfile.Parse("f", []byte(text))
		var got []string
		for _, f := range findings {
			got = append(got, f.Diagnostic())
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%q:\n%s\nwant\n%s", text, strings.Join(got, "\n"), want)
		}
		if (err != nil) != strings.Contains(want, "error") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestAliasesShareWhatTheyName(t *testing.T) {
	t.Parallel()
	const text = "methods: {a: &reads {idempotent: true, timeout: &short 2s}, b: *reads, c: {timeout: *short}}"
	rules, findings, err := policyfile.Parse("f", []byte(text))
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	if b, c := rules.Methods["b"], rules.Methods["c"]; !*b.Idempotent || *b.Timeout != 2*time.Second || *c.Timeout != 2*time.Second {
		t.Errorf("%+v", rules)
	}
}

// Aliases of aliases, and endless mistakes, end early and say so.
func TestHugeFilesAreBounded(t *testing.T) {
	t.Parallel()
	var laughs, wrong, aliased strings.Builder
	laughs.WriteString("methods:\n  a0: &a0 {timeout: 1s}\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&laughs, "  a%d: &a%d {x: *a%d, y: *a%d, retry: *a%d, budget: *a%d}\n", i, i, i-1, i-1, i-1, i-1)
	}
	wrong.WriteString("methods:\n  a:\n")
	aliased.WriteString("methods:\n  a: &a\n    retry: &r\n      attempts: 2\n")
	for i := range 20_000 {
		fmt.Fprintf(&wrong, "    f%d: 1\n", i)
		fmt.Fprintf(&aliased, "      k%d: 1\n", i)
	}
	for i := range 20_000 {
		fmt.Fprintf(&aliased, "  b%d: *a\n", i)
	}
	for name, text := range map[string]string{
		"laughs": laughs.String(), "wrong": wrong.String(), "aliased": aliased.String(),
		"large": "# " + strings.Repeat("x", policyfile.MaxSize),
		"deep":  "methods: " + strings.Repeat("[", 100_000),
		"long":  "methods: {a: {timeout: " + strings.Repeat("5", 500_000) + "}}",
	} {
		began := time.Now()
		_, findings, err := policyfile.Parse("f", []byte(text))
		if err == nil || len(findings) > 250 || len(err.Error()) > 500 {
			t.Errorf("%s: %d findings, %.600s", name, len(findings), fmt.Sprint(err))
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestFileThatCannotBeReadIsTheSystemsError(t *testing.T) {
	t.Parallel()
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		file, err := policyfile.Load(path)
		var refused *policyfile.Error
		if file != nil || err == nil || errors.As(err, &refused) || !strings.HasPrefix(err.Error(), "policyfile: ") {
			t.Errorf("%v, %v", file, err)
		}
	}
	if _, err := policyfile.Load("testdata/none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Whatever the bytes, parsing ends with rules that make a table, or with an
// error on one line that names a place.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", example} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(`{"methods": {"a.*": {"retry": {"attempts": 2}, "budget": false}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, findings, err := policyfile.Parse("f", data)
		for _, found := range findings {
			if found.Line < 1 || found.Column < 1 || found.Message == "" || strings.Contains(found.String(), "\n") {
				t.Errorf("%+v", found)
			}
		}
		if err == nil {
			if _, err := policy.NewTable(rules.Methods); err != nil {
				t.Error(err)
			}
			return
		}
		if len(rules.Methods) > 0 || !strings.HasPrefix(err.Error(), "f:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, %q", rules, err)
		}
	})
}
