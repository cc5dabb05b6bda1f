package simulation

import (
	"testing"

	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/reliability/policyfile"
	"github.com/warren-rpc/warren/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m, func() error { return nil }) }

// rules are the policies that docs/simulation.md is about.
func rules(t *testing.T) reliability.Rules {
	t.Helper()
	file, err := policyfile.Load("../../docs/examples/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return file.Rules
}
