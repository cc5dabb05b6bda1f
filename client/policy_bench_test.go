package client_test

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability"
)

// policyPath is what policies do for a call that succeeds.
func policyPath(set *policy.Set, now time.Time) bool {
	m := set.Method("orders.get")
	p := m.Policy()
	if m.Bulkhead.Acquire() != nil {
		return false
	}
	tries := p.Begin(now, now.Add(p.Timeout), m.Budget, policy.Overrides{})
	ticket, refusal := m.Breaker.Allow(now)
	if refusal != nil {
		return false
	}
	tries.Next(now)
	tries.Succeeded()
	m.Breaker.Done(ticket, now.Add(time.Millisecond), policy.Success)
	m.Latency.Observe(time.Millisecond)
	m.Bulkhead.Release()
	return true
}

func policies(t testing.TB) *policy.Set {
	table, err := policy.NewTable(map[string]reliability.Policy{
		"orders.*": {Bulkhead: reliability.BulkheadPolicy{Calls: new(100)}, Breaker: reliability.BreakerPolicy{SlowAfter: new(time.Second)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return policy.NewSet(table, func(policy.Change) {})
}

func BenchmarkPolicyPath(b *testing.B) {
	set := policies(b)
	b.ReportAllocs()
	for b.Loop() {
		if !policyPath(set, time.Now()) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkPolicyPathParallel(b *testing.B) {
	set := policies(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			policyPath(set, time.Now())
		}
	})
}

func TestPoliciesCostASuccessfulCallAtMostTwoAllocations(t *testing.T) {
	set, now := policies(t), time.Now()
	policyPath(set, now)
	if n := testing.AllocsPerRun(1000, func() { policyPath(set, now) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}
