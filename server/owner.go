package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/broker"
)

// owner makes this server the one that serves a method, by a queue that one
// connection can have: its store would not know of calls that another has handled.
// It is a component of the link that consumes.
type owner struct {
	method string
	logger *slog.Logger
	held   atomic.Pointer[broker.Session] // the last that has had the queue
}

// ownerLook is how often the queue is declared again. One that is gone is told by
// nobody, while the connection that had it lives on: somebody has deleted it, its
// node was another one and is down, or a cluster that cleans up after a node took it
// for that node's.
const ownerLook = 5 * time.Second

// hold has the queue, or fails.
func (o *owner) hold(session *broker.Session) error {
	queue := broker.Queue{Name: "warren.owner." + o.method, Type: broker.Classic, Exclusive: true}
	if _, err := (&broker.Declarer{Queue: queue, Logger: o.logger}).Declare(session); err != nil {
		if broker.IsLocked(err) {
			return fmt.Errorf("warren: another server of %s has a store of its own, and this one cannot know what that remembers: "+
				"share a store, or stop the other: %w", o.method, err)
		}
		return err
	}
	o.held.Store(session)
	return nil
}

// Serve implements broker.Component: it sees to it that the queue stays this
// server's, and ends the session if another has taken it, for the method must not
// be served any more.
func (o *owner) Serve(ctx context.Context, session *broker.Session) {
	look := time.NewTicker(ownerLook)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-session.Done():
			return
		case <-ctx.Done():
			return
		}
		if o.held.Load() != session {
			continue // not yet: the consumer tries
		}
		err := o.hold(session)
		switch {
		case err == nil || session.Err() != nil:
		case broker.IsLocked(err):
			o.logger.Error("the method is another server's now", "method", o.method, "error", err)
			session.Kill(err)
		default:
			o.logger.Warn("whether the method is still this server's cannot be told", "method", o.method, "error", err)
		}
	}
}
