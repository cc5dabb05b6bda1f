package gatewayfile_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// example is the file that users copy.
const example = "../../../docs/examples/gateway.yaml"
