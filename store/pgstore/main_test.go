package pgstore

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/test/postgres"
)

func TestMain(m *testing.M) {
	os.Exit(postgres.Main(m, func() error { return goleak.Find() }))
}
