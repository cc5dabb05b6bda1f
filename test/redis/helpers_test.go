package redis

import (
	"bytes"
	"context"
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

const childEnv = "WARREN_REDIS_TEST_CHILD"

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

// do runs a command that must succeed.
func do(t *testing.T, s *Server, command ...string) string {
	t.Helper()
	out, err := s.Do(t.Context(), command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// folder is one for temporary files.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
