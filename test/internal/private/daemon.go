package private

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Daemon is a server program that works in one folder with its children. All
// methods are safe for concurrent use. Stop and Start take turns; Kill interrupts
// them.
type Daemon struct {
	data string // the working directory of all its processes, without links
	log  string

	turn sync.Mutex // of Start and Stop

	mu   sync.Mutex
	main *Process // the last one started, running or not
}

// NewDaemon is a daemon that does not run yet. Nothing else may work in the folder
// data; the output of all starts is appended to the file log.
func NewDaemon(data, log string) *Daemon { return &Daemon{data: data, log: log} }

// Data is the folder.
func (d *Daemon) Data() string { return d.data }

// Start runs the program that command returns, and returns when it is ready: ready is called
// with its process ID. After an error it does not run. One that runs already is left
// alone.
func (d *Daemon) Start(ctx context.Context, command func() *exec.Cmd, ready func(pid int) bool) error {
	d.turn.Lock()
	defer d.turn.Unlock()
	if d.process().Running() {
		return nil
	}
	d.killMembers() // children of one that has died
	p, err := Launch(command(), d.log)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.main = p
	d.mu.Unlock()
	err = Poll(ctx, func() (bool, error) {
		if !p.Running() {
			return false, errors.New("it ended")
		}
		return ready(p.PID()), nil
	})
	if err != nil {
		d.Kill()
		return fmt.Errorf("the server did not start: %w; the end of its log:\n%s", err, d.LogTail())
	}
	return nil
}

// Stop thaws the program, sends it the signal, and returns when it has ended. The signal is sent
// again until then: Redis, for one, refuses to end while it writes its first append-only file. It
// does nothing if the program does not run.
func (d *Daemon) Stop(ctx context.Context, s os.Signal) error {
	d.turn.Lock()
	defer d.turn.Unlock()
	p := d.process()
	if !p.Running() {
		return nil
	}
	d.signalMembers(resume)
	if err := p.Thaw(); err != nil && p.Running() {
		return fmt.Errorf("stop: %w", err)
	}
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		if err := p.Signal(s); err != nil && p.Running() {
			return fmt.Errorf("stop: %w", err)
		}
		select {
		case <-p.Done():
			return nil
		case <-ctx.Done():
			return fmt.Errorf("stop: %w", context.Cause(ctx))
		case <-again.C:
		}
	}
}

// Kill ends the program and all its children with SIGKILL, whatever they are doing,
// and returns when they are gone. It does nothing if there are none.
func (d *Daemon) Kill() {
	d.process().Kill() // first, since it would start new children
	d.killMembers()
}

// Freeze stops the program and all its children with SIGSTOP, so that connections
// stay open and say nothing. It fails if the program does not run.
func (d *Daemon) Freeze() error {
	p := d.process()
	if err := p.Freeze(); err != nil { // first, since it would start new children
		return fmt.Errorf("freeze: %w", err)
	}
	d.signalMembers(stop)
	return nil
}

// Thaw lets a frozen program and its children go on.
func (d *Daemon) Thaw() error {
	d.signalMembers(resume)
	if err := d.process().Thaw(); err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}

// PID is the program's process ID, or 0 while it does not run.
func (d *Daemon) PID() int {
	if p := d.process(); p.Running() {
		return p.PID()
	}
	return 0
}

// Reap waits for a program that somebody else has ended.
func (d *Daemon) Reap() { d.process().Wait() }

// Log is what the program has written since it was first started.
func (d *Daemon) Log() string {
	text, _ := os.ReadFile(d.log)
	return string(text)
}

// LogTail is the end of the log, for errors.
func (d *Daemon) LogTail() string {
	const most = 4 << 10
	text := strings.TrimSpace(d.Log())
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	if text == "" {
		return "(the server logged nothing)"
	}
	return text
}

func (d *Daemon) process() *Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.main
}

// members are the processes that work in the folder. A zombie has no folder.
func (d *Daemon) members() []int {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var pids []int
	for _, link := range links {
		if folder, err := os.Readlink(link); err != nil || folder != d.data {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (d *Daemon) signalMembers(s syscall.Signal) {
	for _, pid := range d.members() {
		_ = signal(pid, s) // fails only if it has just ended
	}
}

// killMembers returns when no process works in the folder.
func (d *Daemon) killMembers() {
	_ = Poll(context.Background(), func() (bool, error) {
		left := d.members()
		for _, pid := range left {
			_ = signal(pid, syscall.SIGKILL)
		}
		return len(left) == 0, nil
	})
}
