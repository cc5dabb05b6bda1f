package policy_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

func TestBulkheadNeverHoldsMoreThanItsBound(t *testing.T) {
	t.Parallel()
	const bound = 3
	b := policy.NewBulkhead(policy.BulkheadPolicy{Calls: bound})
	var inside, ran, refused atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 200 {
				if err := b.Acquire(); err != nil {
					refused.Add(1)
					continue
				}
				if n := inside.Add(1); n > bound {
					t.Errorf("%d inside", n)
				}
				ran.Add(1)
				inside.Add(-1)
				b.Release()
			}
		})
	}
	all.Wait()
	if ran.Load()+refused.Load() != 4000 || ran.Load() == 0 || b.InFlight() != 0 {
		t.Fatalf("%d ran, %d were refused, %d are in flight", ran.Load(), refused.Load(), b.InFlight())
	}
}

func TestBulkheadRefusesAtOnceWhenFull(t *testing.T) {
	t.Parallel()
	b := policy.NewBulkhead(policy.BulkheadPolicy{Calls: 1})
	if err := b.Acquire(); err != nil {
		t.Fatal(err)
	}
	full := b.Acquire()
	if full == nil || full.Code != warren.CodeResourceExhausted || full.Reason != warren.ReasonQueueFull ||
		full.Outcome != warren.NotExecuted || b.InFlight() != 1 {
		t.Fatalf("refused with %+v, %d in flight", full, b.InFlight())
	}
	b.Release()
	if err := b.Acquire(); err != nil {
		t.Fatal(err)
	}
}

func TestBulkheadKeepsCallsInFlightWhenItsBoundChanges(t *testing.T) {
	t.Parallel()
	b := policy.NewBulkhead(policy.BulkheadPolicy{})
	for range 5 {
		if err := b.Acquire(); err != nil {
			t.Fatal(err)
		}
	}
	b.Update(policy.BulkheadPolicy{Calls: 4})
	b.Release() // four are in it
	if err := b.Acquire(); err == nil {
		t.Fatal("a fifth was let in")
	}
	b.Release()
	if err := b.Acquire(); err != nil {
		t.Fatal(err)
	}
}

func TestBulkheadPanicsIfMoreIsGivenBackThanTaken(t *testing.T) {
	t.Parallel()
	b := policy.NewBulkhead(policy.BulkheadPolicy{Calls: 1})
	defer func() {
		if recover() == nil {
			t.Error("Release without Acquire went unnoticed")
		}
	}()
	b.Release()
}
