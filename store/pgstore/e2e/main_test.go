package e2e

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/test/postgres"
	"github.com/warren-rpc/warren/test/rabbit"
)

// withBroker runs the tests with the broker that they share.
type withBroker struct{ *testing.M }

func (m withBroker) Run() int { return rabbit.Main(m.M) }

func TestMain(m *testing.M) {
	if text := os.Getenv(envServe); text != "" {
		if err := serve(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(postgres.Main(withBroker{m}, func() error { return goleak.Find() }))
}
