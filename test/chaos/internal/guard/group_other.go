//go:build !unix

package guard

import "syscall"

func ownGroup() *syscall.SysProcAttr { return nil }
