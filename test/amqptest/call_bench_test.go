package amqptest_test

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rabbit"
)

// What a call costs over each broker, one after the other and many at a time.
// Compare the brokers within a run.
func BenchmarkCall(b *testing.B) {
	for _, broker := range []struct {
		name string
		url  func(testing.TB) string
	}{
		{"amqptest", inMemory},
		{"rabbitmq", onRabbitMQ},
	} {
		b.Run("broker="+broker.name, func(b *testing.B) {
			c := benchClient(b, broker.url(b))
			b.Run("inflight=1", func(b *testing.B) {
				for b.Loop() {
					benchCall(b, c)
				}
			})
			b.Run("inflight=64", func(b *testing.B) {
				b.SetParallelism(32) // times the processors
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						benchCall(b, c)
					}
				})
			})
		})
	}
}

func inMemory(t testing.TB) string {
	t.Helper()
	return amqptest.New(t, amqptest.Options{}).URL()
}

func onRabbitMQ(t testing.TB) string {
	t.Helper()
	return rabbit.New(t, rabbit.Options{}).URL()
}

func benchCall(b *testing.B, c *client.Client) {
	b.Helper()
	if _, err := c.Call(b.Context(), "bench.echo", []byte("x")); err != nil {
		b.Error(err)
	}
}

func benchClient(b *testing.B, url string) *client.Client {
	b.Helper()
	settings := warren.Broker{URLs: []string{url}}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := server.New(server.Config{Broker: settings, Logger: logger})
	if err != nil {
		b.Fatal(err)
	}
	echo := func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		return &warren.Reply{Body: req.Body}, nil
	}
	if err := s.HandleRaw(server.Method{Name: "bench.echo", Queue: server.Queue{Type: server.Classic}}, echo); err != nil {
		b.Fatal(err)
	}
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Stop(context.Background()) })
	c, err := client.New(client.Config{Broker: settings, Logger: logger})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}
