package broker

import (
	"sync"
	"testing"
)

func TestReadinessTellsItsStateAndEachChange(t *testing.T) {
	t.Parallel()
	r := newReadiness()
	for i, step := range []struct {
		do    func()
		ready bool
		err   error
	}{
		{r.set, true, nil},
		{func() { r.unset(errBroken) }, false, errBroken},
		{r.set, true, nil},
		{func() { r.unset(nil) }, false, nil},
		{func() { r.unset(errBroken) }, false, errBroken},
		{func() { r.unset(nil) }, false, nil},
	} {
		_, before, _ := r.Get()
		select {
		case <-before:
			t.Fatalf("step %d: a change is told before it was made", i)
		default:
		}
		step.do()
		select {
		case <-before:
		default:
			t.Fatalf("step %d: the change is not told", i)
		}
		if ready, _, err := r.Get(); ready != step.ready || err != step.err { //nolint:errorlint // the very same
			t.Fatalf("step %d: %v, %v; want %v, %v", i, ready, err, step.ready, step.err)
		}
	}
}

// Who looks and then waits misses no change that came in between.
func TestNoChangeIsMissed(t *testing.T) {
	t.Parallel()
	r := newReadiness()
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			for {
				ready, changed, _ := r.Get()
				if ready {
					return
				}
				<-changed
			}
		})
	}
	for range 100 {
		r.unset(errBroken)
		r.unset(nil)
	}
	r.set()
	waiting.Wait()
}
