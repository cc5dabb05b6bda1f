package reliability

import "github.com/warren-rpc/warren/internal/policy"

// Budget bounds how much [Retry] and [Hedge] add to the load on a target: the token
// bucket of gRPC's proposal A6, as [BudgetPolicy] says. Hence, whatever fails,
//
//	repetitions ≤ half of the tokens + ratio × successes
//
// and from the moment at which half are left or fewer, repetitions stay at or
// below ratio × successes. It is shared by the calls of one target, and safe for
// concurrent use.
type Budget policy.Budget

// NewBudget returns a full budget. What p does not say is the default. Values out of
// bounds are taken for the nearest within; Tokens and Ratio count in thousandths.
func NewBudget(p BudgetPolicy) *Budget {
	return (*Budget)(policy.NewBudget(policy.Of(Policy{Budget: p}).Budget))
}

// Tokens returns how many are left: 0 to BudgetPolicy.Tokens. They are counted
// while the budget is off as well.
func (b *Budget) Tokens() float64 { return (*policy.Budget)(b).Tokens() }

// spend takes a token for a hedge, if one may be made. There is no bound without a
// budget.
func (b *Budget) spend() bool {
	inner := (*policy.Budget)(b)
	return b == nil || inner.Allow() && inner.Failure()
}
