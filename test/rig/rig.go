// Package rig puts clients and servers on an in-process broker, for the unit
// tests of both.
//
// A test that runs in a bubble (see [Bubble]) has fake time: what takes ten
// seconds takes none, and is told to the nanosecond. Time passes there when all
// that is left to do is to wait for it.
package rig

import (
	"testing"
	"testing/synctest"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
)

// Rig is a broker and what a test puts on it, all of which ends with the test.
type Rig struct {
	T      *testing.T
	Broker *amqptest.Broker
}

// Bubble runs the test in a testing/synctest bubble, in parallel with others, on
// a broker that is reached by pipes in memory and has the rules.
func Bubble(t *testing.T, test func(r *Rig), rules ...amqptest.Rule) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		test(New(t, amqptest.Options{Listen: "none", Faults: rules}))
	})
}

// New returns a rig with a broker of its own.
func New(t *testing.T, options amqptest.Options) *Rig {
	t.Helper()
	return &Rig{t, amqptest.New(t, options)}
}

// Settings are those of clients and servers that connect to the broker.
func (r *Rig) Settings() warren.Broker { return Settings(r.Broker) }

// Settings are those of clients and servers that connect to the broker by pipes.
func Settings(b *amqptest.Broker) warren.Broker {
	return warren.Broker{URLs: []string{b.URL()}, Dial: dialer(b)}
}

// Client returns a client of the broker.
func (r *Rig) Client(change ...func(*client.Config)) *client.Client {
	r.T.Helper()
	cfg := client.Config{Broker: r.Settings()}
	for _, f := range change {
		f(&cfg)
	}
	return NewClient(r.T, cfg)
}

// Ready returns a client that is connected.
func (r *Rig) Ready(change ...func(*client.Config)) *client.Client {
	r.T.Helper()
	c := r.Client(change...)
	if err := c.Ready(r.T.Context()); err != nil {
		r.T.Fatal(err)
	}
	return c
}

// NewServer returns a server that is not started.
func (r *Rig) NewServer(change ...func(*server.Config)) *server.Server {
	r.T.Helper()
	cfg := server.Config{Broker: r.Settings()}
	for _, f := range change {
		f(&cfg)
	}
	return NewServer(r.T, cfg)
}

// Start starts a server, which is stopped with the test.
func (r *Rig) Start(s *server.Server) *server.Server {
	r.T.Helper()
	if err := s.Start(r.T.Context()); err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(func() { Stop(r.T, s) })
	return s
}

// Serve starts a server of one method.
func (r *Rig) Serve(m server.Method, h warren.Handler) *server.Server {
	r.T.Helper()
	s := r.NewServer()
	if err := s.HandleRaw(m, h); err != nil {
		r.T.Fatal(err)
	}
	return r.Start(s)
}

// Named is the method of that name with all its defaults.
func Named(name string) server.Method { return server.Method{Name: name} }

// Queue is the queue of that name, which must be there.
func (r *Rig) Queue(name string) amqptest.Queue {
	r.T.Helper()
	q, ok := r.Broker.Queue("/", name)
	if !ok {
		r.T.Fatalf("there is no queue %s", name)
	}
	return q
}
