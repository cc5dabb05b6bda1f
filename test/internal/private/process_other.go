//go:build !linux

package private

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
)

// Supported reports whether private servers can run on this system.
const Supported = false

const stop, resume = syscall.Signal(0), syscall.Signal(0) // never sent

func isolate(*exec.Cmd) {}

// RunAs is for Linux.
func RunAs(*exec.Cmd, Account) {}

func signal(int, syscall.Signal) error { return errors.ErrUnsupported }

func isFrozen(int) bool { return false }

func cpuTime(int) (time.Duration, error) { return 0, errors.ErrUnsupported }
