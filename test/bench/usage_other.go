//go:build !unix

package bench

import (
	"errors"
	"time"
)

// processCPU is not known here.
func processCPU() (time.Duration, error) { return 0, errors.ErrUnsupported }
