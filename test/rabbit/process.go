package rabbit

import (
	"os"
	"os/exec"
	"time"
)

// process is a child that a goroutine of its own waits for, so that its end is
// noticed at once and it never stays a zombie. The methods accept nil: a child
// that was never started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended and is reaped
}

// launch starts cmd in the node's folder with all output appended to the file
// output.
func launch(cmd *exec.Cmd, output string) (*process, error) {
	file, err := os.OpenFile(output, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// A file, not a pipe: a child that outlives its parent must not block on, or
	// keep open, an output that somebody (go test) waits for.
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in the log
	}()
	return p, nil
}

func (p *process) running() bool {
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

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) wait() {
	if p != nil {
		<-p.done
	}
}

func (p *process) cpu() time.Duration {
	if p == nil {
		return 0
	}
	if p.running() {
		if used, err := cpuTime(p.pid()); err == nil {
			return used
		}
		<-p.done // it ended just now
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}
