//go:build unix && !linux

package proc

import (
	"errors"
	"syscall"
)

// attributes make a child the leader of a group.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd waits until the process has ended, and then ends what is left of its group.
func (in *incarnation) awaitEnd() {
	_ = in.cmd.Wait() // how it ended is in its state
	in.reaping.Lock()
	defer in.reaping.Unlock()
	in.reaped = true
	_ = signalGroup(in.pid, syscall.SIGKILL)
}

// isFrozen does not know, and does not have Freeze wait.
func isFrozen(int) bool { return true }

func usage(int) (int, uint64, error) { return 0, 0, errors.ErrUnsupported }
