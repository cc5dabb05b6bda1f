package interop

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/warren-rpc/warren/test/rabbit"
)

// tool builds cmd/warren for the first test that asks, in the folder that
// TestMain removes.
var tool = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(toolFolder, "warren")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/warren-rpc/warren/cmd/warren").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the tool: %w\n%s", err, out)
	}
	return binary, nil
})

// startTool starts the tool; if it cannot be built the test fails.
func startTool(t *testing.T, args ...string) *program {
	t.Helper()
	binary, err := tool()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, binary, args...)
}

func TestTutorialClientIsServedByTheTool(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	serve := startTool(t, "serve", "--url", url, "--json")
	for {
		out, more := serve.stdout.read()
		if strings.HasPrefix(string(out), `{"ready":true`) {
			break
		}
		waitClosed(t, more, "the line that says that the tool serves")
	}
	if got := callByTutorial(t, url, "rpc_queue", "0", "30", "92")(); got != "0\n832040\n7540113804746346429\n" {
		t.Errorf("the client printed %q", got)
	}
}

func TestToolCallsATutorialServer(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	startTutorial(t, url, "rpc_queue")
	out, err := startTool(t, "call", "--url", url, "rpc_queue", "30").wait(t)
	if err != nil || string(out) != "832040" {
		t.Fatalf("the tool printed %q and ended: %v", out, err)
	}
}

func TestToolTellsAScriptThatNobodyServes(t *testing.T) {
	t.Parallel()
	_, err := startTool(t, "call", "--url", rabbit.VHost(t), "rpc_queue", "30").wait(t)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Fatalf("the tool ended: %v; want exit code 4", err)
	}
}
