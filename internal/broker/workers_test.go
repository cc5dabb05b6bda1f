package broker

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// pool is the workers of one stream, with handlers that wait to be let go.
type pool struct {
	*stream
	in       chan amqp.Delivery
	handling chan uint64 // tags, as their handlers begin
	release  chan func() // run by the handler, which ends then
	end      func()
}

func newPool(t *testing.T, slots chan struct{}) *pool {
	t.Helper()
	p := &pool{
		stream: &stream{s: offline(&sink{})}, in: make(chan amqp.Delivery, 2000),
		handling: make(chan uint64, 2000), release: make(chan func()),
	}
	p.workers = newWorkers(p.in, slots, func(d amqp.Delivery) {
		p.handling <- d.DeliveryTag
		(<-p.release)()
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.serve(ctx)
		p.workers.stop()
	}()
	p.end = func() {
		cancel()
		<-ended
	}
	return p
}

func (p *pool) deliver(n int) {
	for range n {
		p.in <- amqp.Delivery{}
	}
	synctest.Wait()
}

// finish lets n handlers end, each after f.
func (p *pool) finish(n int, f func()) {
	for range n {
		p.release <- f
	}
	synctest.Wait()
}

func (p *pool) want(t *testing.T, when string, begun, left int) {
	t.Helper()
	if len(p.handling) != begun || len(p.in) != left {
		t.Errorf("%s: %d begun, %d left; want %d, %d", when, len(p.handling), len(p.in), begun, left)
	}
}

func TestWorkersComeWithDeliveriesUpToTheBoundAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slots := make(chan struct{}, 8)
		p := newPool(t, slots)
		synctest.Wait()
		for range 3 {
			p.deliver(20)
			p.want(t, "at the bound", 8, 12)
			p.finish(5, func() {})
			p.want(t, "five later", 13, 7)
			p.finish(15, func() {})
			p.want(t, "all later", 20, 0)
			time.Sleep(5 * shrinkEvery)
			synctest.Wait()
			if n := p.workers.alive.Load(); n != 0 || len(slots) != 1 {
				t.Errorf("idle: %d workers, %d slots taken; want 0, 1", n, len(slots))
			}
			for range 20 {
				<-p.handling
			}
		}
		p.end()
		synctest.Wait()
		if len(slots) != 0 {
			t.Errorf("%d slots are taken after the end", len(slots))
		}
	})
}

func TestHandlerThatEndsItsGoroutineLosesNoWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, make(chan struct{}, 2))
		p.deliver(10)
		p.finish(5, runtime.Goexit)
		p.want(t, "half later", 7, 3)
		p.finish(5, runtime.Goexit)
		p.want(t, "all later", 10, 0)
		p.end()
	})
}

// While handlers of the connection before are at work, the next one's may not be as
// many. They may as soon as those have ended, whatever the next one's own do.
func TestSlotsOfTheStreamBeforeAreTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slots := make(chan struct{}, 3)
		first, second := newPool(t, slots), newPool(t, slots)
		synctest.Wait()
		first.deliver(2) // the last slot is the one that the second waits in
		second.deliver(5)
		first.want(t, "before", 2, 0)
		second.want(t, "before", 1, 4)
		first.end()
		first.finish(1, func() {})
		second.want(t, "with one slot more", 2, 3)
		first.finish(1, func() {})
		second.want(t, "with all", 3, 2)
		second.finish(5, func() {})
		second.want(t, "in the end", 5, 0)
		second.end()
	})
}

// Whenever all has come to rest, what is left waits for a handler at the bound.
func TestNoDeliveryWaitsWhileThereIsASlot(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			bound := 1 + rand.IntN(5)
			p := newPool(t, make(chan struct{}, bound))
			delivered, finished := 0, 0
			for range 200 {
				begun := min(delivered-finished, bound)
				switch rand.IntN(3) {
				case 0:
					n := rand.IntN(2 * bound)
					p.deliver(n)
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
				if len(p.handling) != begun || len(p.in) != delivered-begun {
					t.Fatalf("bound %d, %d delivered, %d finished: %d begun, %d left", bound, delivered, finished, len(p.handling), len(p.in))
				}
			}
			p.finish(delivered-finished, func() {})
			p.end()
		})
	}
}
