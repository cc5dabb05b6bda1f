package policy_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/policy"
)

func TestBudgetAllowsWhileMoreThanHalfIsLeft(t *testing.T) {
	t.Parallel()
	b := policy.NewBudget(policy.BudgetPolicy{Tokens: 10, Ratio: 0.1})
	for left := 9; left >= 0; left-- {
		if got, want := b.Failure(), left > 5; got != want || b.Allow() != want {
			t.Fatalf("with %v tokens left: Failure is %v, Allow is %v; want %v", b.Tokens(), got, b.Allow(), want)
		}
	}
	if b.Failure(); b.Tokens() != 0 {
		t.Fatalf("%v tokens; want 0", b.Tokens())
	}
	for range 50 {
		b.Success()
	}
	if b.Tokens() != 5 || b.Allow() {
		t.Fatalf("%v tokens, allowed: %v; want 5 exactly and no", b.Tokens(), b.Allow())
	}
	if b.Success(); !b.Allow() {
		t.Fatalf("nothing is allowed with %v tokens", b.Tokens())
	}
	for range 100 {
		b.Success()
	}
	if b.Tokens() != 10 {
		t.Fatalf("%v tokens; want 10", b.Tokens())
	}
}

func TestBudgetThatIsOffAllowsAllAndStillCounts(t *testing.T) {
	t.Parallel()
	p := policy.BudgetPolicy{Off: true, Tokens: 10, Ratio: 1}
	b := policy.NewBudget(p)
	for range 100 {
		if !b.Failure() || !b.Allow() {
			t.Fatal("it refuses")
		}
	}
	p.Off = false
	if b.Update(p); b.Allow() || b.Tokens() != 0 {
		t.Fatalf("turned on with %v tokens, allowed: %v", b.Tokens(), b.Allow())
	}
}

func TestBudgetTakesOddPolicies(t *testing.T) {
	t.Parallel()
	for _, x := range []float64{math.NaN(), math.Inf(-1), -1, 0, 1e-9, 0.5, 1, 1000, 1e9, math.Inf(1)} {
		p := policy.BudgetPolicy{Tokens: x, Ratio: x}
		b := policy.NewBudget(p)
		most := b.Tokens()
		if most < 1 || most > 1000 || !b.Allow() {
			t.Errorf("%v: %v tokens at first, allowed: %v", x, most, b.Allow())
		}
		b.Failure()
		before := b.Tokens()
		b.Success()
		if got := b.Tokens() - before; got < 0.00099 || got > 1.00001 {
			t.Errorf("%v: a success gives back %v", x, got)
		}
		if b.Update(p); b.Tokens() > most {
			t.Errorf("%v: %v tokens of %v", x, b.Tokens(), most)
		}
	}
}

func drawBudgetPolicy(t *rapid.T) policy.BudgetPolicy {
	return policy.BudgetPolicy{
		Off:    rapid.Bool().Draw(t, "off"),
		Tokens: float64(rapid.IntRange(1000, 1_000_000).Draw(t, "tokens")) / 1000,
		Ratio:  float64(rapid.IntRange(1, 1000).Draw(t, "ratio")) / 1000,
	}
}

// A budget is what it says: a number within [0, most], compared with half.
func TestBudgetIsATokenBucket(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawBudgetPolicy(t)
		b := policy.NewBudget(p)
		tokens := int64(math.Round(p.Tokens * 1000)) // of the model
		most := tokens
		for _, op := range rapid.SliceOfN(rapid.IntRange(0, 20), 0, 300).Draw(t, "ops") {
			switch {
			case op < 10:
				b.Failure()
				tokens = max(tokens-1000, 0)
			case op < 20:
				b.Success()
				tokens = min(tokens+int64(math.Round(p.Ratio*1000)), most)
			default:
				p = drawBudgetPolicy(t)
				b.Update(p)
				was := most
				most = int64(math.Round(p.Tokens * 1000))
				tokens = tokens * most / was
			}
			if got := int64(math.Round(b.Tokens() * 1000)); got != tokens {
				t.Fatalf("%d thousandths are left; want %d", got, tokens)
			}
			if got, want := b.Allow(), p.Off || 2*tokens > most; got != want {
				t.Fatalf("with %d of %d thousandths allowed: %v", tokens, most, got)
			}
		}
	})
}

func TestBudgetUpdateKeepsTheShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawBudgetPolicy(t)
		b := policy.NewBudget(p)
		for range rapid.IntRange(0, 1100).Draw(t, "failures") {
			b.Failure()
		}
		share := b.Tokens() / p.Tokens
		for range 5 {
			p = drawBudgetPolicy(t)
			b.Update(p)
			if b.Update(p); math.Abs(b.Tokens()/p.Tokens-share) > 0.005 || b.Tokens() > p.Tokens {
				t.Fatalf("%v of %v tokens; the share was %v", b.Tokens(), p.Tokens, share)
			}
		}
		if share == 1 && b.Tokens() != p.Tokens {
			t.Fatalf("it was full and has %v of %v", b.Tokens(), p.Tokens)
		}
	})
}

// Failure takes and asks in one step, so the bound holds exactly, however calls
// interleave, and tokens stay within theirs while the policy changes.
func TestBudgetHoldsItsBoundUnderConcurrency(t *testing.T) {
	t.Parallel()
	const workers, rounds = 16, 4000
	p := policy.BudgetPolicy{Tokens: 50, Ratio: 0.1}
	b := policy.NewBudget(p)
	var granted, successes atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				if (i+w)%5 == 0 {
					b.Success()
					successes.Add(1)
				} else if b.Failure() {
					granted.Add(1)
				}
				if tokens := b.Tokens(); tokens < 0 || tokens > p.Tokens {
					t.Errorf("%v tokens", tokens)
					return
				}
			}
		})
	}
	wg.Wait()
	if most := p.Tokens/2 + p.Ratio*float64(successes.Load()); float64(granted.Load()) > most {
		t.Errorf("%d repetitions granted; want at most %v", granted.Load(), most)
	}
}

func TestBudgetStaysWithinBoundsWhileItIsUpdated(t *testing.T) {
	t.Parallel()
	b := policy.NewBudget(policy.BudgetPolicy{Tokens: 1000, Ratio: 1})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 4000 {
				switch {
				case w == 0 && i%4 == 0:
					b.Update(policy.BudgetPolicy{Tokens: float64(1 + i%1000), Ratio: 1})
				case w%2 == 0:
					b.Success()
				default:
					b.Failure()
				}
				if tokens := b.Tokens(); tokens < 0 || tokens > 1000 {
					t.Errorf("%v tokens", tokens)
					return
				}
			}
		})
	}
	wg.Wait()
	b.Update(policy.BudgetPolicy{Tokens: 7, Ratio: 1})
	if tokens := b.Tokens(); tokens < 0 || tokens > 7 {
		t.Errorf("%v of 7 tokens", tokens)
	}
}

func BenchmarkBudget(b *testing.B) {
	budget := policy.NewBudget(policy.Default().Budget)
	b.Run("success of a full one", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				budget.Success()
			}
		})
	})
	b.Run("failure and ten successes", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for n := 0; pb.Next(); n++ {
				if n%11 == 0 {
					budget.Failure()
				} else {
					budget.Success()
				}
			}
		})
	})
}
