package reliability

import "github.com/warren-rpc/warren/internal/policy"

// What is said of policies.
type (
	Rules        = policy.Rules
	Spec         = policy.Spec
	RetrySpec    = policy.RetrySpec
	BudgetSpec   = policy.BudgetSpec
	BreakerSpec  = policy.BreakerSpec
	HedgeSpec    = policy.HedgeSpec
	BulkheadSpec = policy.BulkheadSpec
	Finding      = policy.Finding
	Level        = policy.Level
	Change       = policy.Change
	State        = policy.State
)

const (
	LevelWarning = policy.LevelWarning
	LevelError   = policy.LevelError

	Closed       = policy.Closed
	HalfOpen     = policy.HalfOpen
	Open         = policy.Open
	ForcedOpen   = policy.ForcedOpen
	ForcedClosed = policy.ForcedClosed
)

// NewTable returns the policies that the rules amount to.
func NewTable(rules Rules) (*policy.Table, error) { return policy.NewTable(rules) }
