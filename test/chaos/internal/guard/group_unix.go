//go:build unix

package guard

import "syscall"

// ownGroup keeps the signals of a terminal, and those for the parent's group, away.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
