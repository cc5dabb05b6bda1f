package pgstore

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/patience"
)

// TestLineTakesNoMoreThanItMay has requests wait, by their weight, while one is done.
func TestLineTakesNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	l := line[int]{most: 3, heaviest: 10, weigh: func(weight int) int { return weight }}
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var took [][]int
	l.start(func(requests []int) {
		once.Do(func() {
			close(begun)
			<-goOn
		})
		took = append(took, requests)
	})
	var all sync.WaitGroup
	come := func(weight int) {
		l.mu.Lock()
		before := len(l.waiting)
		l.mu.Unlock()
		all.Go(func() { _ = l.wait(context.Background(), weight) })
		if weight == 0 {
			<-begun
			return
		}
		patience.Eventually(t, "the request waits", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.waiting) > before
		})
	}
	come(0)
	for _, weight := range []int{6, 4, 1, 20, 2, 1, 1, 1} {
		come(weight)
	}
	close(goOn)
	all.Wait()
	want := [][]int{{0}, {6, 4}, {1}, {20}, {2, 1, 1}, {1}}
	if len(took) != len(want) {
		t.Fatalf("taken: %v; want %v", took, want)
	}
	for i := range want {
		if len(took[i]) != len(want[i]) || took[i][0] != want[i][0] {
			t.Errorf("taken: %v; want %v", took, want)
		}
	}
}

// TestLineDoesEachRequestOnceOrDropsIt has callers give up at any moment.
func TestLineDoesEachRequestOnceOrDropsIt(t *testing.T) {
	t.Parallel()
	const callers, each = 50, 40
	var done [callers * each]atomic.Int32
	var atWork atomic.Int32
	work := func(requests []int) {
		if n := atWork.Add(1); n > 2 {
			t.Errorf("%d workers are at work", n)
		}
		time.Sleep(rand.N(50 * time.Microsecond))
		for _, r := range requests {
			done[r].Add(1)
		}
		atWork.Add(-1)
	}
	l := line[int]{most: 5, heaviest: each, weigh: func(int) int { return 1 }}
	l.start(work, work)
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range each {
				request := caller*each + i
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(2*time.Millisecond))
				err := l.wait(ctx, request)
				cancel()
				if n := done[request].Load(); err == nil && n != 1 || err != nil && n != 0 {
					t.Errorf("a request was done %d times, and told: %v", n, err)
				}
			}
		})
	}
	all.Wait()
	dropped := 0
	for i := range done {
		if done[i].Load() == 0 {
			dropped++
		}
	}
	if len(l.free) != 2 || dropped == 0 || dropped == len(done) {
		t.Errorf("%d workers are free; %d of %d requests were dropped", len(l.free), dropped, len(done))
	}
}

// TestLineGoesOnAfterAPanic has the worker panic under who waited first.
func TestLineGoesOnAfterAPanic(t *testing.T) {
	t.Parallel()
	l := line[int]{most: 3, heaviest: 10, weigh: func(int) int { return 1 }}
	begun, goOn := make(chan struct{}), make(chan struct{})
	l.start(func(requests []int) {
		switch requests[0] {
		case 0:
			close(begun)
			<-goOn
		case 1:
			panic("a test")
		}
	})
	var all sync.WaitGroup
	var panics atomic.Int32
	come := func(request int) {
		all.Go(func() {
			defer func() {
				if recover() != nil {
					panics.Add(1)
				}
			}()
			if err := l.wait(context.Background(), request); err != nil {
				t.Error(err)
			}
		})
	}
	come(0)
	<-begun
	for i := range 5 {
		come(1 + i)
		patience.Eventually(t, "the request waits", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.waiting) > i
		})
	}
	close(goOn)
	all.Wait()
	if panics.Load() != 1 || len(l.free) != 1 {
		t.Errorf("%d callers panicked, %d workers are free", panics.Load(), len(l.free))
	}
}
