package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// binaryVariable tells the tests where the tool is that TestMain has built.
const binaryVariable = "WARREN_TEST_BINARY"

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "warren-tool-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "warren")
	args := []string{"build", "-o", binary}
	if raceEnabled() {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, ".")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the tool:", err)
		return 1
	}
	for name, value := range map[string]string{
		binaryVariable: binary,
		// A race in the tool ends it with code 66, which no test expects.
		"GORACE": "halt_on_error=1 atexit_sleep_ms=0",
		// That of the machine must not reach the tool.
		"WARREN_URL": "", configVariable: "", "XDG_CONFIG_HOME": filepath.Join(dir, "home"),
		"WARREN_TIMEOUT": "", "WARREN_STORE": "", "WARREN_USER_ID": "", "WARREN_MANAGEMENT_URL": "", "WARREN_BROKER_AUTH": "",
		"WARREN_BROKER_CA": "", "WARREN_BROKER_CERT": "", "WARREN_BROKER_KEY": "", "WARREN_BROKER_SERVER_NAME": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := rabbit.Main(m)
	if err := closeDatabases(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// raceEnabled reports whether this test was built with the race detector.
func raceEnabled() bool {
	build, _ := debug.ReadBuildInfo()
	for _, s := range build.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// tool is one run of the tool.
type tool struct {
	cmd            *exec.Cmd
	stdin          io.Reader
	stdout, stderr buffer
	done           chan struct{}
	code           int // after done; -1 if a signal ended it
}

// command prepares a run with one URL in the environment, or none if it is
// empty.
func command(url string, args ...string) *tool {
	t := &tool{cmd: exec.Command(os.Getenv(binaryVariable), args...), done: make(chan struct{})}
	t.cmd.Env = append(os.Environ(), "WARREN_URL="+url)
	t.cmd.Stdout, t.cmd.Stderr = &t.stdout, &t.stderr
	return t
}

// start starts the run, and ends it with the test.
func (r *tool) start(t testing.TB) *tool {
	t.Helper()
	r.cmd.Stdin = r.stdin
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		_ = r.cmd.Wait()
		r.code = r.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.done
	})
	return r
}

// wait waits for the end of the run.
func (r *tool) wait(t testing.TB) *tool {
	t.Helper()
	select {
	case <-r.done:
		return r
	case <-time.After(patience.Soon):
		_ = r.cmd.Process.Kill()
		t.Fatalf("%v does not end; stdout %q, stderr %q", r.cmd.Args[1:], r.stdout.String(), r.stderr.String())
		return nil
	}
}

// invoke runs the tool to its end.
func invoke(t testing.TB, url string, args ...string) *tool {
	t.Helper()
	return command(url, args...).start(t).wait(t)
}

// want demands an exit code.
func (r *tool) want(t testing.TB, code int) *tool {
	t.Helper()
	if r.code != code {
		t.Fatalf("%.200q: exit code %d, want %d; stdout %.2000q, stderr %.2000q",
			r.cmd.Args[1:], r.code, code, r.stdout.String(), r.stderr.String())
	}
	return r
}

// said is what standard error holds, but for the note that it takes long to connect,
// as it may.
func (r *tool) said() string {
	var b strings.Builder
	for line := range strings.Lines(r.stderr.String()) {
		if !strings.HasPrefix(line, "warren: still connecting: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// wantLine demands that standard error holds one line, and returns it.
func (r *tool) wantLine(t testing.TB) string {
	t.Helper()
	text := r.said()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || !strings.HasPrefix(text, "warren: ") {
		t.Fatalf("%v: standard error is not one line: %q", r.cmd.Args[1:], text)
	}
	return strings.TrimSpace(text)
}

// object returns the one JSON object that standard output holds.
func (r *tool) object(t testing.TB) map[string]any {
	t.Helper()
	text := r.stdout.String()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("%v: standard output is not one line of JSON: %q (%v); stderr %q", r.cmd.Args[1:], text, err, r.stderr.String())
	}
	return object
}

// as demands the type of a value.
func as[T any](t testing.TB, v any) T {
	t.Helper()
	value, ok := v.(T)
	if !ok {
		t.Fatalf("%v is a %T", v, v)
	}
	return value
}

// wantKeys demands the keys of an object, and returns it.
func wantKeys(t testing.TB, object map[string]any, keys ...string) map[string]any {
	t.Helper()
	for _, key := range keys {
		if _, ok := object[key]; !ok {
			t.Errorf("no %q in %v", key, object)
		}
	}
	if len(object) != len(keys) {
		t.Errorf("%v has other keys than %v", object, keys)
	}
	return object
}

// serveSamples starts `warren serve` and waits until it serves.
func serveSamples(t testing.TB, url string, args ...string) *tool {
	t.Helper()
	r := command(url, append([]string{"serve", "--json", "--queue-type", "classic"}, args...)...).start(t)
	patience.Eventually(t, "the server is ready", func() bool {
		select {
		case <-r.done:
			t.Fatalf("the server has ended with %d: %s", r.code, r.stderr.String())
		default:
		}
		return strings.Contains(r.stdout.String(), "\n")
	})
	return r
}

// queue looks a queue up on the shared node; the zero Queue if it is not there.
func queue(t testing.TB, url, name string) rabbit.Queue {
	t.Helper()
	for _, q := range queues(t, url) {
		if q.Name == name {
			return q
		}
	}
	return rabbit.Queue{}
}

func queues(t testing.TB, url string) []rabbit.Queue {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	defer cancel()
	list, err := rabbit.Shared(t).Queues(ctx, url[strings.LastIndexByte(url, '/')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// buffer is a bytes.Buffer that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
