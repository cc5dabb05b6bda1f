package private

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/warren-rpc/warren/test/patience"
)

// ErrDown is the answer of what needs a running process.
var ErrDown = errors.New("the server is not running")

// Process is a child that a goroutine of its own waits for, so that its end is
// noticed at once and it never stays a zombie. Unless said otherwise, the methods
// accept nil: a child that was never started.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended and is reaped
}

// Launch starts cmd in a process group of its own, with all output appended to the
// file output.
func Launch(cmd *exec.Cmd, output string) (*Process, error) {
	file, err := os.OpenFile(output, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// A file, not a pipe: a child that outlives its parent must not block on, or
	// keep open, an output that somebody (go test) waits for.
	cmd.Stdout, cmd.Stderr = file, file
	isolate(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in the log
	}()
	return p, nil
}

// Running reports whether the child has not ended.
func (p *Process) Running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// PID is the child's process ID, also once it has ended. The child is not nil.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended. The child is not nil.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns when the child has ended.
func (p *Process) Wait() {
	if p != nil {
		<-p.done
	}
}

// Kill ends the child with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	if p.Running() {
		_ = p.cmd.Process.Kill() // fails only if it has just ended
		p.Wait()
	}
}

// Signal sends a signal to the child; it is ErrDown if the child has ended.
func (p *Process) Signal(s os.Signal) error {
	if !p.Running() {
		return ErrDown
	}
	if err := p.cmd.Process.Signal(s); err != nil && p.Running() {
		return fmt.Errorf("signal %v: %w", s, err)
	}
	return nil
}

// CPU is the user and system time that the child has used, in steps of 10 ms. Once
// it has ended it stays at the total.
func (p *Process) CPU() time.Duration {
	if p == nil {
		return 0
	}
	if p.Running() {
		if used, err := cpuTime(p.PID()); err == nil {
			return used
		}
		<-p.done // it ended just now
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// Freeze stops the child with SIGSTOP and returns when no part of it runs.
func (p *Process) Freeze() error {
	if err := p.Signal(stop); err != nil {
		return err
	}
	// The signal reaches the threads one by one.
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	defer cancel()
	return Poll(ctx, func() (bool, error) {
		if !p.Running() {
			return false, ErrDown
		}
		return isFrozen(p.PID()), nil
	})
}

// Thaw lets a frozen child go on, and does nothing if it is not frozen.
func (p *Process) Thaw() error { return p.Signal(resume) }

// Poll calls try every 20 ms until it is done, fails, or ctx ends.
func Poll(ctx context.Context, try func() (done bool, err error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
