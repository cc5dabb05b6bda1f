package server_test

import (
	"testing"

	"github.com/warren-rpc/warren/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m, stopExamples) }
