package policy

import (
	"math"
	"sync/atomic"
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
// All methods are safe for concurrent use, do not block and do not allocate.
// While it is full, or empty, a Budget is only read.
type Budget struct {
	// All of it is in one word, so that tokens never leave [0, most], not even
	// while Update changes both: see budgetState.
	word atomic.Uint64
}

// budgetState is a Budget at one moment. Tokens are counted in thousandths: a
// million of them, the bound, takes 20 bits.
type budgetState struct {
	tokens, most, ratio uint64
	off                 bool
}

const (
	oneToken   = 1000
	mostTokens = 1000 * oneToken
	tokenBits  = 20
	tokenMask  = 1<<tokenBits - 1
	ratioBits  = 10
	ratioMask  = 1<<ratioBits - 1
	offBit     = 1 << (2*tokenBits + ratioBits)
)

// NewBudget returns a full budget. Values out of the bounds that [BudgetPolicy]
// states are taken for the nearest within; Tokens and Ratio count in thousandths.
func NewBudget(p BudgetPolicy) *Budget {
	s := p.state()
	s.tokens = s.most
	b := &Budget{}
	b.word.Store(s.pack())
	return b
}

// Failure takes a token for a failure that could be repeated, or for a hedge,
// whether it is repeated or not. It reports what [Budget.Allow] would right
// after it, in one step with the taking: what others give back in between
// allows nothing twice.
func (b *Budget) Failure() bool {
	for {
		old := b.word.Load()
		s := unpackBudget(old)
		s.tokens -= min(s.tokens, oneToken)
		if word := s.pack(); word == old || b.word.CompareAndSwap(old, word) {
			return s.allows()
		}
	}
}

// Success gives back what a success is worth.
func (b *Budget) Success() {
	for {
		old := b.word.Load()
		s := unpackBudget(old)
		s.tokens = min(s.tokens+s.ratio, s.most)
		if word := s.pack(); word == old || b.word.CompareAndSwap(old, word) {
			return
		}
	}
}

// Allow reports whether a repetition may be made: more than half of the tokens
// are left, or the budget is off.
func (b *Budget) Allow() bool { return unpackBudget(b.word.Load()).allows() }

// Tokens returns how many are left: 0 to BudgetPolicy.Tokens. They are counted
// while the budget is off as well, so that it can be turned on at any time.
func (b *Budget) Tokens() float64 { return float64(unpackBudget(b.word.Load()).tokens) / oneToken }

// Update sets another policy. The share of the tokens that is left stays the
// same: what was learned about the target is kept.
func (b *Budget) Update(p BudgetPolicy) {
	s := p.state()
	for {
		old := b.word.Load()
		was := unpackBudget(old)
		s.tokens = was.tokens * s.most / was.most
		if b.word.CompareAndSwap(old, s.pack()) {
			return
		}
	}
}

// state returns p in thousandths, with no tokens.
func (p BudgetPolicy) state() budgetState {
	return budgetState{
		most:  thousandths(p.Tokens, oneToken, mostTokens),
		ratio: thousandths(p.Ratio, 1, oneToken),
		off:   p.Off,
	}
}

// thousandths returns x in thousandths, within [least, most].
func thousandths(x, least, most float64) uint64 {
	if !(x*1000 > least) { // nor a NaN
		return uint64(least)
	}
	return uint64(math.Round(min(x*1000, most)))
}

func (s budgetState) allows() bool { return s.off || 2*s.tokens > s.most }

func (s budgetState) pack() uint64 {
	word := s.tokens | s.most<<tokenBits | s.ratio<<(2*tokenBits)
	if s.off {
		word |= offBit
	}
	return word
}

func unpackBudget(word uint64) budgetState {
	return budgetState{
		tokens: word & tokenMask, most: word >> tokenBits & tokenMask, ratio: word >> (2 * tokenBits) & ratioMask,
		off: word&offBit != 0,
	}
}
