package interop

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/test/rabbit"
)

// toolFolder is where the tests keep the tool that they build.
var toolFolder string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	var err error
	if toolFolder, err = os.MkdirTemp("", "warren-interop-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(toolFolder) }()
	return rabbit.Main(m, func() error { return goleak.Find() })
}
