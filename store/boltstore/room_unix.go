//go:build linux || darwin

package boltstore

import "syscall"

// freeOn returns how many bytes can be written to the file system that a folder is on.
func freeOn(folder string) (bytes int64, known bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(folder, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true //nolint:unconvert // on darwin it is a uint32
}
