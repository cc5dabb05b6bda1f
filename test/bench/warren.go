package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
)

// Warren with its defaults, except that a server holds as many requests as those
// by hand do, and that bounds give way to what is asked for. Handlers and callers
// deal in bytes: what a codec costs is the codec's.
var (
	warrenClassic = variant{
		name:    "warren-classic",
		serve:   warrenServer(server.Classic),
		connect: connectWarren(false),
	}

	warrenQuorum = variant{
		name:    "warren-quorum",
		quorum:  true,
		serve:   warrenServer(server.Quorum),
		connect: connectWarren(false),
	}

	// The clients of these get each reply in a message of its own.
	warrenClassicOneByOne = variant{
		name:    "warren-classic-one-by-one",
		serve:   warrenServer(server.Classic),
		connect: connectWarren(true),
	}

	warrenQuorumOneByOne = variant{
		name:    "warren-quorum-one-by-one",
		quorum:  true,
		serve:   warrenServer(server.Quorum),
		connect: connectWarren(true),
	}

	// warrenClassicStore has a store in a file: each call is claimed and recorded,
	// both on the disk before its reply goes out.
	warrenClassicStore = variant{
		name:    "warren-classic-store",
		serve:   serveWithStore,
		connect: connectWarren(false),
	}
)

func warrenServer(queueType server.QueueType) func(context.Context, spec, func()) error {
	return func(ctx context.Context, s spec, ready func()) error {
		return serveWarren(ctx, s, queueType, nil, ready)
	}
}

// serveWithStore serves as warren-classic does, with a store on the disk of the
// folder for temporary files.
func serveWithStore(ctx context.Context, s spec, ready func()) (err error) {
	folder, err := os.MkdirTemp("", "warren-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	st, err := boltstore.Open(filepath.Join(folder, "store.db"), boltstore.Options{SizeLimit: benchStoreLimit})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return serveWarren(ctx, s, server.Classic, st, ready)
}

// benchStoreLimit is more bytes than a measurement of large bodies writes.
const benchStoreLimit = 64 << 30

// serveWarren serves echo, with records if st is not nil.
func serveWarren(ctx context.Context, s spec, queueType server.QueueType, st store.Store, ready func()) error {
	srv, err := server.New(server.Config{
		Broker:     warrenBroker(s),
		MaxRequest: atLeastMiB(s.Size),
		MaxReply:   atLeastMiB(s.Size),
		Store:      st,
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

type warrenCaller struct {
	client *client.Client
	method string
}

func connectWarren(oneByOne bool) func(context.Context, spec) (caller, error) {
	return func(ctx context.Context, s spec) (caller, error) {
		c, err := client.New(client.Config{
			Broker:          warrenBroker(s),
			MaxPending:      max(10_000, s.Inflight),
			MaxPendingBytes: max(64<<20, s.Inflight*s.Size),
			MaxRequest:      atLeastMiB(s.Size),
			MaxReply:        atLeastMiB(s.Size),
			RepliesOneByOne: oneByOne,
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
}

func (c *warrenCaller) call(ctx context.Context, body []byte) ([]byte, error) {
	reply, err := c.client.Call(ctx, c.method, body)
	if err != nil {
		return nil, err
	}
	return reply.Body, nil
}

func (c *warrenCaller) close() error { return c.client.Close() }

func warrenBroker(s spec) warren.Broker {
	return warren.Broker{URLs: []string{s.URL}, Dial: dialCounted}
}

// atLeastMiB is Warren's default bound of a body, or the size asked for.
func atLeastMiB(size int) int { return max(1<<20, size) }
