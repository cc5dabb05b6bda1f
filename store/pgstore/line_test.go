package pgstore

import (
	"context"
	"sync"
	"testing"

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
