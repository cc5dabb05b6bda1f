package policy_test

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// A queue without a leader refuses what is published to it; no server has seen it.
func TestRefusalsCostNeitherAttemptsNorTokens(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Idempotent, p.Retry.Jitter = true, false
	nacked := failure(warren.CodeUnavailable, warren.Unknown).WithReason(warren.ReasonNacked)
	lost := failure(warren.CodeUnavailable, warren.Unknown).WithReason(warren.ReasonConnectionLost)
	budget := policy.NewBudget(p.Budget)
	a := p.Begin(epoch, epoch.Add(time.Minute), budget, policy.Overrides{})
	var waited time.Duration
	for n := 1; n <= 10; n++ {
		a.Next(epoch)
		d := a.Nacked(epoch, nacked)
		want := policy.Decision{
			Retry: true, Wait: min(250*time.Millisecond<<(n-1), 2*time.Second), Why: policy.WhyRefused, Ignored: n < 4,
		}
		if d != want || a.Left() != 3 || budget.Tokens() != p.Budget.Tokens {
			t.Fatalf("refusal %d: %+v, %d attempts left, %v tokens; want %+v", n, d, a.Left(), budget.Tokens(), want)
		}
		waited += d.Wait
	}
	if waited != 15750*time.Millisecond {
		t.Errorf("refusals are waited out for %v", waited)
	}
	// From now on they count like anything else.
	for _, err := range []*warren.Error{lost, nacked, nacked} {
		left := a.Left()
		a.Next(epoch)
		if d := a.Nacked(epoch, err); d.Why == policy.WhyRefused || d.Ignored || d.Retry != (left > 1) || a.Left() != left-1 {
			t.Errorf("%v: %+v, %d attempts left", err, d, a.Left())
		}
	}
	if budget.Tokens() != p.Budget.Tokens-3 {
		t.Errorf("%v tokens", budget.Tokens())
	}
}

func TestRefusalsCountWhereTheyCannotBeWaitedOut(t *testing.T) {
	t.Parallel()
	nacked := failure(warren.CodeUnavailable, warren.Unknown).WithReason(warren.ReasonNacked)
	p := policy.Default()
	p.Idempotent, p.Retry.Jitter = true, false
	begin := func(left time.Duration, own policy.Overrides) policy.Decision {
		a := p.Begin(epoch, epoch.Add(left), nil, own)
		a.Next(epoch)
		return a.Nacked(epoch, nacked)
	}
	if d := begin(time.Minute, policy.Overrides{Attempts: 1}); d.Retry || d.Why != policy.WhyAttempts {
		t.Errorf("a call that is not to be repeated: %+v", d)
	}
	if d := begin(251*time.Millisecond, policy.Overrides{}); !d.Retry || d.Why != policy.WhyBackoff || d.Wait != p.Retry.First || d.Ignored {
		t.Errorf("no room for the wait: %+v", d)
	}
	if d := begin(252*time.Millisecond, policy.Overrides{}); d.Why != policy.WhyRefused {
		t.Errorf("room for the wait: %+v", d)
	}
	p.Idempotent = false
	if d := begin(time.Minute, policy.Overrides{}); d.Retry || d.Why != policy.WhyNotIdempotent {
		t.Errorf("once is too often: %+v", d)
	}
	if d := begin(time.Minute, policy.Overrides{Idempotent: true}); d.Why != policy.WhyRefused {
		t.Errorf("this call is idempotent: %+v", d)
	}
	p.Idempotent = true
	p.Retry.First, p.Retry.Most = 3*time.Second, 10*time.Second
	if d := begin(time.Minute, policy.Overrides{}); d.Wait != 3*time.Second || d.Why != policy.WhyRefused {
		t.Errorf("a policy that waits longer: %+v", d)
	}
}

// A server that does not read a request's version has seen no request.
func TestAttemptsThatNoServerReadCostNeitherAttemptsNorTokens(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	for _, test := range []struct {
		outcome           warren.Outcome
		idempotent, again bool
	}{
		{warren.NotExecuted, false, true}, {warren.NotExecuted, true, true}, {warren.Unknown, false, false}, {warren.Unknown, true, true},
	} {
		budget := policy.NewBudget(p.Budget)
		a := p.Begin(epoch, epoch.Add(time.Minute), budget, policy.Overrides{Attempts: 2, Idempotent: test.idempotent})
		a.Next(epoch)
		again := a.Unread(failure(warren.CodeInvalidArgument, test.outcome).WithReason(warren.ReasonBadRequest))
		if again != test.again || a.Left() != 2 || budget.Tokens() != p.Budget.Tokens {
			t.Errorf("%+v: again is %v, %d attempts left, %v tokens", test, again, a.Left(), budget.Tokens())
		}
	}
}
