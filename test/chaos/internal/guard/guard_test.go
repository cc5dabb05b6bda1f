package guard

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/test/patience"
)

const envFile = "WARREN_GUARD_TEST_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(envFile); file != "" {
		if _, err := Start(`rm -- "$1"`, file); err != nil {
			panic(err)
		}
		println("armed")
		select {}
	}
	goleak.VerifyTestMain(m)
}

func TestCleanupRunsOnceAskedAndTellsItsFailure(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"", "No such file"} {
		g, err := Start(`rm -- "$1"`, file)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Run(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q", err, want)
		}
	}
}

func TestCleanupRunsWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envFile+"="+file)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stderr.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	patience.Eventually(t, "the cleanup has run", func() bool {
		_, err := os.Stat(file)
		return os.IsNotExist(err)
	})
}
