//go:build unix

package interop

import (
	"os"
	"syscall"
)

// ownGroup makes a child lead a process group, so that killGroup also ends what
// it has started itself.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(leader *os.Process) error { return syscall.Kill(-leader.Pid, syscall.SIGKILL) }
