//go:build !linux

package rabbit

import (
	"errors"
	"os"
	"syscall"
	"time"
)

const supported = false

func ownGroup() *syscall.SysProcAttr { return nil }

func freeze(*os.Process) error { return errors.ErrUnsupported }

func thaw(*os.Process) error { return errors.ErrUnsupported }

func terminate(*os.Process) error { return errors.ErrUnsupported }

func isFrozen(int) bool { return false }

func cpuTime(int) (time.Duration, error) { return 0, errors.ErrUnsupported }
