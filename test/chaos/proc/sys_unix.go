//go:build unix

package proc

import (
	"errors"
	"os"
	"syscall"
)

const supported = true

const (
	stop   = syscall.SIGSTOP
	resume = syscall.SIGCONT
)

func signalGroup(pid int, s os.Signal) error {
	number, ok := s.(syscall.Signal)
	if !ok {
		return errors.ErrUnsupported
	}
	return syscall.Kill(-pid, number)
}

// keepFromChildren closes a descriptor in programs that this process starts.
func keepFromChildren(descriptor int) { syscall.CloseOnExec(descriptor) }
