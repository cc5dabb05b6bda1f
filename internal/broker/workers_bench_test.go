package broker

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// A handled message lets the next one come, as a reply does with a caller's.
func BenchmarkMessagesUnderWay(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			done := make(chan struct{}, n)
			w := newWorkers(256, false, func(Delivery) { done <- struct{}{} })
			d := delivered{&frames.Delivery{}, newWorked()}
			for range n {
				done <- struct{}{}
			}
			for b.Loop() {
				<-done
				w.deliver(d)
			}
			for range n {
				<-done
			}
			w.drain()
		})
	}
}

// A burst comes while no worker is there. Handlers take a while.
func BenchmarkBurst(b *testing.B) {
	const burst = 128
	var left sync.WaitGroup
	w := newWorkers(256, false, func(Delivery) {
		time.Sleep(time.Millisecond)
		left.Done()
	})
	d := delivered{&frames.Delivery{}, newWorked()}
	for b.Loop() {
		b.StopTimer()
		time.Sleep(10 * shrinkEvery)
		b.StartTimer()
		left.Add(burst)
		for range burst {
			w.deliver(d)
		}
		left.Wait()
	}
	w.drain()
}
