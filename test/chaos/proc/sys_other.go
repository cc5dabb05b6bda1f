//go:build !unix

package proc

import (
	"errors"
	"os"
	"syscall"
)

const supported = false

const (
	stop   = syscall.SIGTERM
	resume = syscall.SIGTERM
)

func attributes() *syscall.SysProcAttr { return nil }

func signalGroup(int, os.Signal) error { return errors.ErrUnsupported }

func keepFromChildren(int) {}

func (in *incarnation) awaitEnd() {}

func isFrozen(int) bool { return false }

func usage(int) (int, uint64, error) { return 0, 0, errors.ErrUnsupported }
