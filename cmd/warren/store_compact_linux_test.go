package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/chaos/disk"
)

// A disk without room is no damage, wherever in the file it ends, and the file that
// was to be compacted is as it was.
func TestStoreCompactOntoAFullDiskSaysSo(t *testing.T) {
	t.Parallel()
	for _, in := range []bool{false, true} {
		for _, kib := range []int{0, 4, 8, 16, 20, 32, 36, 48, 64, 96, 128, 192} {
			t.Run(fmt.Sprintf("%d KiB, in place: %v", kib, in), func(t *testing.T) {
				t.Parallel()
				path := newSparseFile(t)
				before, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				size := 1 << 10 * kib
				if in {
					size += len(before) + 4096
				}
				dir := disk.MountTmpfs(t, max(size, 4096))
				args := []string{"compact", path, "--to", filepath.Join(dir, "new.db")}
				if in {
					path = filepath.Join(dir, "orders.db")
					if err := os.WriteFile(path, before, 0o600); err != nil {
						t.Fatal(err)
					}
					args = []string{"compact", path}
				} else if kib == 0 {
					if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 4096), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				r := invokeStore(t, args...)
				if r.code == 0 {
					return // there was room after all
				}
				if line := r.want(t, exitInternal).wantLine(t); !strings.Contains(line, "no space left") || strings.Contains(line, "damaged") {
					t.Errorf("standard error: %s", line)
				}
				if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
					t.Errorf("the file has changed, %v", err)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 1 || len(left) == 1 && left[0] != path && filepath.Base(left[0]) != "ballast" {
					t.Errorf("there is left %v", left)
				}
			})
		}
	}
}
