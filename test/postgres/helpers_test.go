package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/test/internal/private"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
	}
	os.Exit(Main(m, func() error { return goleak.Find() }))
}

const childEnv = "WARREN_POSTGRES_TEST_CHILD"

// child is what TestServerDiesWithItsProcess runs and kills.
func child() {
	s, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("ready", s.PID())
	select {}
}

// processesIn lists the processes that work in a folder below prefix, or bear the marker
// of one.
func processesIn(t *testing.T, prefix string) []string {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, folder := range folders {
		cwd, _ := os.Readlink(filepath.Join(folder, "cwd"))
		environment, _ := os.ReadFile(filepath.Join(folder, "environ"))
		if strings.HasPrefix(cwd, prefix) || bytes.Contains(environment, []byte(private.Marker+"="+prefix)) {
			command, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
			found = append(found, filepath.Base(folder)+" "+strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}

// segments lists System V's segments of shared memory of one owner.
func segments(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			ids[fields[1]] = true
		}
	}
	return ids
}

// query runs statements that must succeed.
func query(t *testing.T, s *Server, statements string) string {
	t.Helper()
	out, err := s.Exec(t.Context(), statements)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// folder is one for temporary files that the server's account can enter.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}
