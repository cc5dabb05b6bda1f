package broker

import (
	"sync"
	"testing"
)

func TestSignalTellsItsStateAndEachChange(t *testing.T) {
	t.Parallel()
	s := newSignal()
	for i, step := range []struct {
		do     func()
		raised bool
		err    error
	}{
		{s.raise, true, nil},
		{func() { s.fail(errBroken) }, false, errBroken},
		{s.raise, true, nil},
		{s.lower, false, nil},
		{func() { s.fail(errBroken) }, false, errBroken},
		{func() { s.fail(nil) }, false, nil},
	} {
		_, before, _ := s.Get()
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
		if raised, _, err := s.Get(); raised != step.raised || err != step.err { //nolint:errorlint // the very same
			t.Fatalf("step %d: %v, %v; want %v, %v", i, raised, err, step.raised, step.err)
		}
	}
}

// Who looks and then waits misses no change that came in between.
func TestNoChangeIsMissed(t *testing.T) {
	t.Parallel()
	s := newSignal()
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			for {
				raised, changed, _ := s.Get()
				if raised {
					return
				}
				<-changed
			}
		})
	}
	for range 100 {
		s.fail(errBroken)
		s.lower()
	}
	s.raise()
	waiting.Wait()
}
