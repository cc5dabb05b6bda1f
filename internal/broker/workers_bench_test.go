package broker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// buffered is what the library has between a connection's reader and who consumes.
func buffered(in <-chan amqp.Delivery) <-chan amqp.Delivery {
	out := make(chan amqp.Delivery)
	go func() {
		defer close(out)
		var queue []*amqp.Delivery
		for d := range in {
			queue = append(queue, &d)
			for len(queue) > 0 {
				select {
				case d, ok := <-in:
					if !ok {
						return
					}
					queue = append(queue, &d)
				case out <- *queue[0]:
					queue = queue[1:]
				}
			}
		}
	}()
	return out
}

// handled serves messages with up to 256 workers until the benchmark ends, and returns
// where to put them.
func handled(b *testing.B, handle func(amqp.Delivery)) chan<- amqp.Delivery {
	b.Helper()
	in := make(chan amqp.Delivery)
	st := &stream{s: offline(&sink{})}
	st.workers = newWorkers(buffered(in), make(chan struct{}, 256), handle)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = st.serve(ctx) })
	b.Cleanup(func() {
		cancel()
		serving.Wait()
		st.workers.stop()
		close(in)
	})
	return in
}

// A handled message lets the next one come, as a reply does with a caller's.
func BenchmarkMessagesUnderWay(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			done := make(chan struct{}, n)
			in := handled(b, func(amqp.Delivery) { done <- struct{}{} })
			for range n {
				done <- struct{}{}
			}
			for b.Loop() {
				<-done
				in <- amqp.Delivery{}
			}
			for range n {
				<-done
			}
		})
	}
}

// A burst comes while no worker is there. Handlers take a while.
func BenchmarkBurst(b *testing.B) {
	const burst = 128
	var left sync.WaitGroup
	in := handled(b, func(amqp.Delivery) {
		time.Sleep(time.Millisecond)
		left.Done()
	})
	for b.Loop() {
		b.StopTimer()
		time.Sleep(10 * shrinkEvery)
		b.StartTimer()
		left.Add(burst)
		for range burst {
			in <- amqp.Delivery{}
		}
		left.Wait()
	}
}
