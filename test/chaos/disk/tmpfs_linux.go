package disk

import (
	"fmt"
	"syscall"
	"testing"
)

// MountTmpfs mounts a file system in memory of that many bytes, which may be fewer than a Disk
// has, for the test, and returns its folder. It needs root.
func MountTmpfs(t testing.TB, size int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("this test mounts a small tmpfs, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}
