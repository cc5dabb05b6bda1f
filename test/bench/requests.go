package bench

import (
	"context"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// eachRequest lets a number of goroutines handle requests until the context
// ends, which is no error; a handler fails, whose error it returns; or the
// connection ends. It closes the connection and returns when the goroutines are
// done.
func eachRequest(ctx context.Context, conn *amqp.Connection, requests <-chan amqp.Delivery,
	workers int, handle func(amqp.Delivery) error,
) error {
	// The library closes the channel of deliveries with the connection.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	var once sync.Once
	var failed error
	fail := func(err error) {
		once.Do(func() { failed = err })
		_ = conn.Close()
	}

	var done sync.WaitGroup
	for range workers {
		done.Go(func() {
			for d := range requests {
				if err := handle(d); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	done.Wait()
	fail(errClosed)
	if ctx.Err() != nil {
		return nil
	}
	return failed
}
