package interop

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/patience"
)

// program is a running peer. It is killed when its test ends, with everything
// that it has started.
type program struct {
	name   string
	cmd    *exec.Cmd
	cancel context.CancelFunc
	stdout output
	stderr output
	done   chan struct{} // closed when the program has ended
	err    error         // how it ended; valid once done is closed
}

// start runs a program, which messages call by its name. If the test fails, its
// standard error is shown.
func start(t *testing.T, name, path string, args ...string) *program {
	t.Helper()
	return startReading(t, nil, name, path, args...)
}

// startReading is start, with a file, or nil, for the program's standard input.
func startReading(t *testing.T, in *os.File, name, path string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{name: name, cmd: exec.CommandContext(ctx, path, args...), cancel: cancel, done: make(chan struct{})}
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.Cancel = func() error { return killGroup(p.cmd.Process) }
	p.cmd.WaitDelay = time.Second // for a grandchild that keeps the pipes open
	if in != nil {
		p.cmd.Stdin = in
	}
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
			t.Logf("%s ended: %v; its standard error:\n%s", name, p.err, p.stderr.bytes())
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
	case <-time.After(patience.Soon):
		t.Fatalf("%s still runs after %v", p.name, patience.Soon)
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

// waitClosed waits for a channel to be closed.
func waitClosed(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience.Soon):
		t.Fatalf("waited %v in vain: %s", patience.Soon, what)
	}
}
