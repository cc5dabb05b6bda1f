package bench

import (
	"context"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
)

// Warren with its defaults, except that a server holds as many requests as those
// by hand do, and that bounds give way to what is asked for. Handlers and callers
// deal in bytes: what a codec costs is the codec's.
var (
	warrenClassic = variant{
		name:    "warren-classic",
		serve:   warrenServer(server.Classic),
		connect: connectWarren,
	}

	warrenQuorum = variant{
		name:    "warren-quorum",
		serve:   warrenServer(server.Quorum),
		connect: connectWarren,
	}
)

func warrenServer(queueType server.QueueType) func(context.Context, spec, func()) error {
	return func(ctx context.Context, s spec, ready func()) error {
		srv, err := server.New(server.Config{
			Broker:     warren.Broker{URLs: []string{s.URL}},
			MaxRequest: atLeastMiB(s.Size),
			MaxReply:   atLeastMiB(s.Size),
		})
		if err != nil {
			return err
		}
		err = srv.HandleRaw(server.Method{
			Name:        s.Queue,
			Queue:       server.Queue{Type: queueType, Expires: queueExpires},
			Concurrency: handlers,
			Prefetch:    prefetch,
		}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			return &warren.Reply{ContentType: req.ContentType, Body: req.Body}, nil
		})
		if err != nil {
			return err
		}
		if err := srv.Start(ctx); err != nil {
			return err
		}
		ready()
		<-ctx.Done()
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return srv.Stop(stopCtx)
	}
}

type warrenCaller struct {
	client *client.Client
	method string
}

func connectWarren(ctx context.Context, s spec) (caller, error) {
	c, err := client.New(client.Config{
		Broker:          warren.Broker{URLs: []string{s.URL}},
		MaxPending:      max(10_000, s.Inflight),
		MaxPendingBytes: max(64<<20, s.Inflight*s.Size),
		MaxRequest:      atLeastMiB(s.Size),
		MaxReply:        atLeastMiB(s.Size),
	})
	if err != nil {
		return nil, err
	}
	if err := c.Ready(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return &warrenCaller{client: c, method: s.Queue}, nil
}

func (c *warrenCaller) call(ctx context.Context, body []byte) ([]byte, error) {
	reply, err := c.client.Call(ctx, c.method, body)
	if err != nil {
		return nil, err
	}
	return reply.Body, nil
}

func (c *warrenCaller) close() error { return c.client.Close() }

// atLeastMiB is Warren's default bound of a body, or the size asked for.
func atLeastMiB(size int) int { return max(1<<20, size) }
