package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

const supported = true

// allot gives the file so many bytes of the disk's room, without writing them.
func allot(f *os.File, from, size int64) error {
	return unix.Fallocate(int(f.Fd()), 0, from, size)
}

// From linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int).
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

func freeze(root *os.File) error { return unix.IoctlSetInt(int(root.Fd()), fiFreeze, 0) }

func thaw(root *os.File) error { return unix.IoctlSetInt(int(root.Fd()), fiThaw, 0) }
