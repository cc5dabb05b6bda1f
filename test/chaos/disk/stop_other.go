//go:build !linux

package disk

import (
	"errors"
	"os"
)

const supported = false

func freeze(*os.File) error { return errors.ErrUnsupported }

func thaw(*os.File) error { return errors.ErrUnsupported }
