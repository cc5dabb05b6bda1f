package interop

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of these tests. Reaching it is a failure, so it
// allows for a slow machine under the race detector.
const patience = 30 * time.Second

// program is a running peer. It is killed when its test ends, with everything
// that it has started.
type program struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	stdout output
	stderr output
	done   chan struct{} // closed when the program has ended
	err    error         // how it ended; valid once done is closed
}

// start runs a program. If the test fails, its standard error is shown.
func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{cmd: exec.CommandContext(ctx, name, args...), cancel: cancel, done: make(chan struct{})}
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.Cancel = func() error { return killGroup(p.cmd.Process) }
	p.cmd.WaitDelay = time.Second // for a grandchild that keeps the pipes open
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %s ended: %v; its standard error:\n%s", name, filepath.Base(args[0]), p.err, p.stderr.bytes())
		}
	})
	return p
}

// kill ends the program with SIGKILL and returns when it has gone.
func (p *program) kill() {
	p.cancel()
	<-p.done
}

// wait returns the program's standard output once it has ended by itself.
func (p *program) wait(t *testing.T) ([]byte, error) {
	t.Helper()
	select {
	case <-p.done:
		return p.stdout.bytes(), p.err
	case <-time.After(patience):
		t.Fatalf("%s still runs after %v", filepath.Base(p.cmd.Args[1]), patience)
		return nil, nil
	}
}

// output collects what a program writes and tells those who wait for more.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed and forgotten at the next write
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.buf.Write(p)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf.Bytes())
}

// read returns everything so far and a channel that is closed once there is more.
func (o *output) read() ([]byte, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return bytes.Clone(o.buf.Bytes()), o.changed
}

// pythonWithPika finds an interpreter that has pika: Debian's pika belongs to
// Debian's Python, and another one may come first in PATH.
var pythonWithPika = sync.OnceValues(func() (string, error) {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import pika").Run() == nil {
			return python, nil
		}
	}
	return "", errors.New("no python3 has pika; to get it, run scripts/deps.sh in the repository's root")
})

var nodeWithAmqplib = sync.OnceValues(func() (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", errors.New("no node in PATH; to get it, run scripts/deps.sh in the repository's root")
	}
	if _, err := os.Stat(filepath.Join("node_modules", "amqplib")); err != nil {
		return "", errors.New("amqplib is missing; to get it, run: (cd test/interop && npm ci)")
	}
	return node, nil
})

// startScript runs a program of peers/ by the interpreter that find returns.
func startScript(t *testing.T, find func() (string, error), script string, args ...string) *program {
	t.Helper()
	interpreter, err := find()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, interpreter, append([]string{filepath.Join("peers", script)}, args...)...)
}

// waitClosed waits for a channel to be closed.
func waitClosed(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited %v in vain: %s", patience, what)
	}
}
