package interop

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/test/rabbit"
)

// toolFolder is where the tests keep the tool that they build.
var toolFolder string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) (code int) {
	if url := os.Getenv(envServe); url != "" {
		fmt.Fprintln(os.Stderr, serveUntilKilled(url))
		return 1
	}
	var err error
	if toolFolder, err = os.MkdirTemp("", "warren-interop-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(toolFolder) }()
	flag.Parse()
	if *printResults {
		defer func() {
			if err := found.print(os.Stdout); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}()
	}
	return rabbit.Main(m, func() error { return goleak.Find() })
}
