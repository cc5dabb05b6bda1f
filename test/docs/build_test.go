package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/warren-rpc/warren/test/patience"
)

// build compiles a package of the repository, or a file outside it, as part of
// its module. The flags are the test's own, so that what it imports has been
// compiled already.
func build(t *testing.T, what string) (executable string) {
	t.Helper()
	executable = filepath.Join(t.TempDir(), "program")
	args := append([]string{"build"}, raceFlags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "-o", executable, what)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", what, err, out)
	}
	return executable
}

// toolFolder is where the tool is, for as long as the tests run.
var toolFolder string

var buildTool = sync.OnceValues(func() (string, error) {
	executable := filepath.Join(toolFolder, "warren")
	args := append([]string{"build"}, raceFlags...)
	cmd := exec.Command("go", append(args, "-o", executable, "./cmd/warren")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/warren: %w\n%s", err, out)
	}
	return executable, nil
})

// tool returns Warren's tool, which is built once.
func tool(t *testing.T) (executable string) {
	t.Helper()
	executable, err := buildTool()
	if err != nil {
		t.Fatal(err)
	}
	return executable
}

// buildText compiles the text of a program.
func buildText(t *testing.T, name, text string) (executable string) {
	t.Helper()
	return build(t, writeFile(t, name, text))
}

func writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// environment is that of programs. Those built with the race detector would
// otherwise wait a second before they end.
func environment(url string) []string {
	return append(os.Environ(), "WARREN_URL="+url, "GORACE=atexit_sleep_ms=0")
}

// run runs a program to its end and returns what it printed and its exit code.
func run(t *testing.T, url, program string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environment(url)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", program, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// daemon is a program that runs until it is interrupted.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{}
}

func startDaemon(t *testing.T, url, program string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: exec.Command(program, args...), done: make(chan struct{})}
	d.cmd.Env = environment(url)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.done
	})
	return d
}

// interrupt ends the program as Ctrl-C does; it must end well.
func (d *daemon) interrupt() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.t.Fatal(err)
	}
	<-d.done
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.t.Errorf("%s ended with %d:\n%s", d.cmd.Path, code, d.out.String())
	}
}
