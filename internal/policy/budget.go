package policy

import (
	"math"
	"sync"
)

// Budget bounds how much retries and hedges add to the load on a target: the
// token bucket of gRPC's proposal A6. A failure that could be repeated takes a
// token, a success gives back a part of one, and nothing is repeated while half
// of the tokens or fewer are left. Hence, whatever fails,
//
//	repetitions ≤ half of the tokens + ratio × successes
//
// and from the moment at which half are left or fewer, repetitions stay at or
// below ratio × successes.
//
// All methods are safe for concurrent use and do not allocate.
type Budget struct {
	mu sync.Mutex
	// Tokens are counted in thousandths.
	tokens, most, ratio int
	off                 bool
}

// oneToken is a token, in thousandths.
const oneToken = 1000

// NewBudget returns a full budget. Values out of the bounds that
// reliability.BudgetPolicy states are taken for the nearest within; Tokens and
// Ratio count in thousandths.
func NewBudget(p BudgetPolicy) *Budget {
	b := &Budget{}
	b.set(p)
	b.tokens = b.most
	return b
}

func (b *Budget) set(p BudgetPolicy) {
	b.most, b.ratio, b.off = thousandths(p.Tokens, oneToken, 1000*oneToken), thousandths(p.Ratio, 1, oneToken), p.Off
}

// thousandths returns x in thousandths, within [least, most].
func thousandths(x float64, least, most int) int {
	if !(x*1000 > float64(least)) { // nor a NaN
		return least
	}
	return int(math.Round(min(x*1000, float64(most))))
}

// Failure takes a token for a failure that could be repeated, or for a hedge,
// whether it is repeated or not. It reports whether the repetition may be made:
// more than half of the tokens are left, or the budget is off.
func (b *Budget) Failure() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = max(b.tokens-oneToken, 0)
	return b.allows()
}

// Success gives back what a success is worth.
func (b *Budget) Success() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+b.ratio, b.most)
}

// Allow reports whether a repetition could be made without another token.
func (b *Budget) Allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.allows()
}

func (b *Budget) allows() bool { return b.off || 2*b.tokens > b.most }

// Tokens returns how many are left: 0 to BudgetPolicy.Tokens. They are counted
// while the budget is off as well, so that it can be turned on at any time.
func (b *Budget) Tokens() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return float64(b.tokens) / oneToken
}

// Update sets another policy. The share of the tokens that is left stays the
// same: what was learned about the target is kept.
func (b *Budget) Update(p BudgetPolicy) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.most
	b.set(p)
	b.tokens = b.tokens * b.most / was
}
