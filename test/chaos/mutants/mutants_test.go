package mutants

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/chaos/check"
)

const root = "../../.."

// overlay writes the mutant's files and returns what the go command's -overlay
// takes, and the packages that differ.
func (m *mutant) overlay(t *testing.T) (file string, packages []string) {
	t.Helper()
	texts := map[string]string{}
	for _, e := range m.edits {
		text, ok := texts[e.file]
		if !ok {
			source, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(source)
			packages = append(packages, "./"+path.Dir(e.file))
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("%s has this %d times, not once: the mutant must follow the source\n%s", e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	folder := t.TempDir()
	replace := map[string]string{}
	for name, text := range texts {
		original, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(folder, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, packages
}

// compile builds packages of the repository, with a mutant in it if overlay is one.
func compile(t *testing.T, overlay string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", overlay}, args...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

func TestMutantsFollowTheSource(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			overlay, packages := m.overlay(t)
			compile(t, overlay, packages...)
		})
	}
}

// found is of a run's report.
type found struct {
	Verdict    check.Verdict `json:"verdict"`
	Calls      int           `json:"calls"`
	Invariants map[check.Name]struct{ Checked, Broken int }
}

// chaos does a run and returns what it found, and its output.
func (m *mutant) chaos(t *testing.T, program string) (found, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// What is late is not what is looked for.
	store := cmp.Or(m.store, "file")
	cmd := exec.CommandContext(ctx, program, "chaos", "--json", "--store", store, "--mode", m.mode, "--faults", m.faults, "--duration", m.duration,
		"--seed", "7", "--grace", "10s", "--recovery", "6s", "--folder", filepath.Join(t.TempDir(), "run"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var f found
	if json.Unmarshal(out.Bytes(), &f) != nil {
		t.Fatalf("%v: %v\n%s\n%s", cmd.Args, err, &out, &log)
	}
	if f.Calls < 100 {
		t.Fatalf("only %d calls were made\n%s", f.Calls, &log)
	}
	return f, fmt.Sprintf("%s\n%s", &out, &log)
}

// caughtByTests demands that the tests fail, and that they pass on the source as it is.
func (m *mutant) caughtByTests(t *testing.T, overlay, nothing string) {
	t.Helper()
	test := func(overlay string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=5m", "-overlay", overlay, "-run", m.tests[1], m.tests[0])
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := test(overlay)
	if err == nil || !strings.Contains(out, "--- FAIL: ") {
		t.Errorf("it survived: %v\n%s", err, out)
	}
	if out, err := test(nothing); err != nil || strings.Contains(out, "no tests to run") {
		t.Errorf("the framework as it is fails the same tests: %v\n%s", err, out)
	}
}

func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	all := os.Getenv("WARREN_MUTANTS") == "all"
	folder := t.TempDir()
	intact := filepath.Join(folder, "intact")
	nothing := filepath.Join(folder, "nothing.json")
	if err := os.WriteFile(nothing, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all {
		compile(t, nothing, "-o", intact, "./cmd/warren")
	}
	for _, m := range mutants {
		if !m.quick && !all {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			overlay, _ := m.overlay(t)
			if m.tests != nil {
				m.caughtByTests(t, overlay, nothing)
				return
			}
			program := filepath.Join(folder, "mutant")
			compile(t, overlay, "-o", program, "./cmd/warren")
			f, output := m.chaos(t, program)
			if i := f.Invariants[m.breaks]; f.Verdict != check.Broken || i.Broken == 0 {
				t.Errorf("it survived: %s was checked %d times, and broken %d times\n%s", m.breaks, i.Checked, i.Broken, output)
			} else {
				t.Logf("caught: %s broken %d times of %d", m.breaks, i.Broken, i.Checked)
			}
			if !all {
				return
			}
			if f, output := m.chaos(t, intact); f.Verdict != check.OK {
				t.Errorf("the framework as it is fails the same run:\n%s", output)
			}
		})
	}
}
