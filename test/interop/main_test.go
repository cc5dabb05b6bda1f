package interop

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/test/rabbit"
)

func TestMain(m *testing.M) {
	os.Exit(rabbit.Main(m, func() error { return goleak.Find() }))
}
