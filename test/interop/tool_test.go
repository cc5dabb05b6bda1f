package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/warren-rpc/warren/test/patience"
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
	return startToolReading(t, nil, args...)
}

func startToolReading(t *testing.T, in *os.File, args ...string) *program {
	t.Helper()
	binary, err := tool()
	if err != nil {
		t.Fatal(err)
	}
	return startReading(t, in, "warren "+args[0], binary, args...)
}

// serveByTool starts `warren serve` on a virtual host of the test's own and
// returns the address once it serves.
func serveByTool(t *testing.T) (url string) {
	t.Helper()
	url = rabbit.VHost(t)
	serve := startTool(t, "serve", "--url", url, "--json")
	awaitLine(t, serve, `{"ready":true`)
	return url
}

// callByTool makes a call by `warren call`, which reads the body from its
// standard input, and returns what it printed.
func callByTool(t *testing.T, url, method string, body []byte) []byte {
	t.Helper()
	in, err := os.Open(bodyFile(t, body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	p := startToolReading(t, in, "call", "--url", url, "--timeout", patience.Soon.String(), method, "-")
	out, err := p.wait(t)
	if err != nil {
		t.Errorf("warren call %s ended: %v\n%s", method, err, p.stderr.bytes())
	}
	return out
}

func TestTutorialClientIsServedByTheTool(t *testing.T) {
	t.Parallel()
	url := serveByTool(t)
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
