//go:build !linux

package disk

import (
	"errors"
	"os"
)

const supported = false

func allot(*os.File, int64, int64) error { return errors.ErrUnsupported }

func freeze(*os.File) error { return errors.ErrUnsupported }

func thaw(*os.File) error { return errors.ErrUnsupported }
