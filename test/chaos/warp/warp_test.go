package warp_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/chaos/warp"
	"github.com/warren-rpc/warren/test/patience"
)

// A server of another time hears of deadlines and issue times by its own clock, and
// a client of that time is answered as if both were of the same.
func TestEachSideGoesByItsOwnClock(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	broker := func(ahead time.Duration) warren.Broker {
		return warren.Broker{URLs: []string{b.URL()}, Dial: warp.Dial(func() time.Duration { return ahead })}
	}
	for name, test := range map[string]struct{ client, server, left time.Duration }{
		"both in another time":  {time.Hour, time.Hour, time.Minute},
		"the client is ahead":   {time.Hour, 0, time.Hour + time.Minute},
		"the server is behind":  {0, -time.Hour, time.Hour + time.Minute},
		"of our own time, both": {0, 0, time.Minute},
	} {
		left := make(chan time.Duration, 1)
		s, err := server.New(server.Config{Broker: broker(test.server), Store: memstore.New(memstore.Options{}), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.HandleRaw(server.Method{Name: "m"}, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			left <- time.Until(req.Deadline)
			return &warren.Reply{Body: req.Body}, nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		c, err := client.New(client.Config{Broker: broker(test.client), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		// An ID of the caller's own has version 1 of the metadata, none has version 2.
		for version, options := range [][]client.CallOption{{client.WithCallID("k")}, nil} {
			// 100,000 bytes are several frames.
			reply, err := c.Call(t.Context(), "m", make([]byte, 100_000), append(options, client.WithTimeout(time.Minute))...)
			if err != nil || len(reply.Body) != 100_000 {
				t.Errorf("%s, version %d: %v, %v", name, version+1, reply, err)
			} else if got := <-left; got > test.left || got < test.left-patience.Soon {
				t.Errorf("%s, version %d: the handler had %v left; want %v", name, version+1, got, test.left)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
