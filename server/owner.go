package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
)

// owner makes this server one that may serve a method: it has the store that
// remembers the method's calls and, if that is its own process's, a queue that one
// connection can have.
type owner struct {
	method string
	alone  bool    // the store is this process's
	memory *memory // nil if the store forgets with its process
	log    *slog.Logger
	held   atomic.Pointer[broker.Session] // the last on which the method was this server's

	checking atomic.Bool
}

func newOwner(m *method) *owner {
	traits := m.s.cfg.Store.Traits()
	o := &owner{method: m.Name, alone: !traits.Shared, log: m.log}
	if traits.Durable {
		o.memory = &memory{method: m.Name, store: m.s.cfg.Store.Identity(), replaces: m.Dedupe.Replaces, log: m.log}
	}
	return o
}

// ownerCheck is how often a method's queues are declared again. One that is gone is told by
// nobody, while the connection that had it lives on: somebody has deleted it, its
// node was another one and is down, or a cluster that cleans up after a node took it
// for that node's.
const ownerCheck = 5 * time.Second

// hold makes the method this server's, or fails. The memory comes last: what it says
// may change until nobody else has the method.
func (o *owner) hold(session *broker.Session) error {
	if o.alone {
		if err := o.take(session); err != nil {
			return err
		}
	}
	if o.memory != nil {
		if err := o.memory.claim(session); err != nil {
			return err
		}
	}
	o.held.Store(session)
	return nil
}

// take has the queue of the one server, or fails. A server that could not serve if
// it had the queue is told so at once.
func (o *owner) take(session *broker.Session) error {
	queue := broker.ExclusiveMarker(wire.OwnerQueue(o.method))
	err := queue.Declare(session)
	if !broker.IsLocked(err) {
		return err
	}
	if o.memory != nil {
		if foreign, ok := errors.AsType[*foreignMemoryError](o.memory.look(session)); ok && foreign.expected.ID != o.memory.replaces {
			return foreign
		}
	}
	return fmt.Errorf("warren: another connection has the queue %s, or it is not exclusive. As a rule it is that of another server of %s "+
		"with a store of its own: share a store, or stop the other. `rabbitmqctl list_queues name owner_pid` and "+
		"`list_connections pid user peer_host name` tell whose it is: %w", queue.Name, o.method, err)
}

// check declares the method's queues again, and ends the session if the method is
// another server's, for it must not be served any more.
func (o *owner) check(session *broker.Session) {
	err := o.hold(session)
	_, foreign := errors.AsType[*foreignMemoryError](err)
	switch {
	case err == nil || session.Err() != nil:
	case broker.IsLocked(err) || foreign || errors.Is(err, errStillServed):
		o.log.Error("the method is another server's now", "error", err)
		session.Kill(err)
	default:
		o.log.Warn("whether the method is still this server's cannot be told", "error", err)
	}
}

// owners checks that methods stay this server's, one after the other. It is a component
// of the link that consumes.
type owners struct {
	all []*owner
}

// Serve implements broker.Component.
func (o *owners) Serve(ctx context.Context, session *broker.Session) {
	if len(o.all) == 0 {
		return
	}
	next := time.NewTicker(ownerCheck / time.Duration(len(o.all)))
	defer next.Stop()
	var checks sync.WaitGroup
	defer checks.Wait()
	for i := 0; ; i++ {
		select {
		case <-next.C:
		case <-session.Done():
			return
		case <-ctx.Done():
			return
		}
		own := o.all[i%len(o.all)]
		// If it is not held yet, the consumer tries. A queue that does not answer holds up
		// no other method's.
		if own.held.Load() == session && own.checking.CompareAndSwap(false, true) {
			checks.Go(func() {
				defer own.checking.Store(false)
				own.check(session)
			})
		}
	}
}
