package broker

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// pool is the workers of one consumer, with handlers that wait to be let go.
type pool struct {
	*workers
	handling chan uint64 // tags, as their handlers begin
	release  chan func() // run by the handler, which ends then
}

func newPool(bound int) *pool {
	p := &pool{handling: make(chan uint64, 2000), release: make(chan func())}
	p.workers = newWorkers(bound, false, func(d Delivery) {
		p.handling <- d.DeliveryTag
		(<-p.release)()
	})
	return p
}

// come has n messages delivered by st.
func (p *pool) come(st *stream, n int) {
	for range n {
		p.deliver(delivered{&frames.Delivery{}, st})
	}
	synctest.Wait()
}

func newWorked() *stream { return &stream{acker: newAcker(offline(&sink{}), &ledger{}, 0, 0)} }

// finish lets n handlers end, each after f.
func (p *pool) finish(n int, f func()) {
	for range n {
		p.release <- f
	}
	synctest.Wait()
}

func (p *pool) want(t *testing.T, when string, begun, left int) {
	t.Helper()
	if len(p.handling) != begun || p.queue.len() != left {
		t.Errorf("%s: %d begun, %d left; want %d, %d", when, len(p.handling), p.queue.len(), begun, left)
	}
}

func TestWorkersComeWithDeliveriesUpToTheBoundAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, st := newPool(8), newWorked()
		for range 3 {
			p.come(st, 20)
			p.want(t, "at the bound", 8, 12)
			p.finish(5, func() {})
			p.want(t, "five later", 13, 7)
			p.finish(15, func() {})
			p.want(t, "all later", 20, 0)
			time.Sleep(5 * shrinkEvery)
			synctest.Wait()
			if p.alive != 0 || p.busy != 0 {
				t.Errorf("idle: %d workers, %d are busy", p.alive, p.busy)
			}
			for range 20 {
				<-p.handling
			}
		}
	})
}

func TestHandlerThatEndsItsGoroutineLosesNoWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, st := newPool(2), newWorked()
		p.come(st, 10)
		p.finish(5, runtime.Goexit)
		p.want(t, "half later", 7, 3)
		p.finish(5, runtime.Goexit)
		p.want(t, "all later", 10, 0)
		if p.alive != 0 || p.busy != 0 {
			t.Errorf("in the end: %d workers, %d are busy", p.alive, p.busy)
		}
	})
}

// While handlers of the connection before are at work, the next one's may not be as
// many. They may as soon as those have ended, whatever the next one's own do.
func TestPlacesOfTheStreamBeforeAreTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, first, second := newPool(3), newWorked(), newWorked()
		p.come(first, 2)
		p.come(second, 5)
		p.want(t, "before", 3, 4)
		p.leave(first)
		p.finish(1, func() {})
		p.want(t, "with one place more", 4, 3)
		p.finish(1, func() {})
		p.want(t, "with all", 5, 2)
		p.finish(5, func() {})
		p.want(t, "in the end", 7, 0)
		p.leave(second)
	})
}

// What no worker has begun is left to the stream that it came by, and so is what comes by
// it later. Others' messages are handled.
func TestWhatIsNotBegunIsLeftToItsStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, first, second := newPool(2), newWorked(), newWorked()
		p.come(first, 5)
		p.come(second, 1)
		p.leave(first)
		p.come(first, 4)
		if len(first.left) != 7 || len(second.left) != 0 {
			t.Errorf("%d and %d are left to their streams; want 7 and 0", len(first.left), len(second.left))
		}
		p.want(t, "after the first", 2, 1)
		p.finish(3, func() {})
		p.want(t, "in the end", 3, 0)
		p.leave(second)
	})
}

func TestDrainedWorkersHandleNothingMoreAndAreWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, st := newPool(2), newWorked()
		p.come(st, 5)
		p.drain()
		p.come(st, 1)
		waited := make(chan error, 1)
		go func() { waited <- p.wait(t.Context()) }()
		p.finish(1, func() {})
		if len(waited) != 0 {
			t.Error("the wait has ended while a handler is at work")
		}
		p.finish(1, func() {})
		if len(waited) != 1 || <-waited != nil || p.alive != 0 {
			t.Errorf("the wait has not ended with the handlers, or %d workers are left", p.alive)
		}
		p.want(t, "in the end", 2, 0)
	})
}

func TestInlineDeliveriesAreHandledByWhoBringsThem(t *testing.T) {
	t.Parallel()
	handled := 0
	w, st := newWorkers(0, true, func(Delivery) { handled++ }), newWorked()
	for n := 1; n <= 3; n++ {
		if w.deliver(delivered{&frames.Delivery{}, st}); handled != n || st.acker.outstanding() != n {
			t.Fatalf("%d are handled, and %d outstanding, after %d", handled, st.acker.outstanding(), n)
		}
	}
	w.drain()
	if w.deliver(delivered{&frames.Delivery{}, st}); handled != 3 || w.wait(t.Context()) != nil {
		t.Errorf("%d are handled", handled)
	}
}

// Whenever all has come to rest, what is left waits for a handler at the bound.
func TestNoDeliveryWaitsWhileThereIsAPlace(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			bound := 1 + rand.IntN(5)
			p, st := newPool(bound), newWorked()
			delivered, finished := 0, 0
			for range 200 {
				begun := min(delivered-finished, bound)
				switch rand.IntN(3) {
				case 0:
					n := rand.IntN(2 * bound)
					p.come(st, n)
					delivered += n
				case 1:
					if n := min(begun, rand.IntN(bound+1)); n > 0 {
						p.finish(n, []func(){func() {}, runtime.Goexit}[rand.IntN(2)])
						finished += n
					}
				case 2:
					time.Sleep(time.Duration(rand.Int64N(int64(3 * shrinkEvery))))
					synctest.Wait()
				}
				begun = finished + min(delivered-finished, bound)
				if len(p.handling) != begun || p.queue.len() != delivered-begun {
					t.Fatalf("bound %d, %d delivered, %d finished: %d begun, %d left", bound, delivered, finished, len(p.handling), p.queue.len())
				}
			}
			p.finish(delivered-finished, func() {})
			p.leave(st)
		})
	}
}
