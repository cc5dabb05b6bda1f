package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/lifecycle"
)

// ready waits until every method is consumed, or one of them never will be.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(s.methods))
	for _, m := range s.methods {
		go func() { results <- s.served(ctx, m) }()
	}
	var first error
	for range s.methods {
		if err := <-results; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}

// served waits until the method is consumed.
func (s *Server) served(ctx context.Context, m *method) error {
	for {
		up, changed, err := m.consumer.Up().Get()
		if up || m.consumer.Paused() {
			return nil
		}
		if err != nil && broker.IsPermanent(err) {
			return fmt.Errorf("warren: method %s cannot be served: %w", m.Name, err)
		}
		refused, refusal := s.consuming.Refused()
		if refusal != nil {
			return refusal
		}
		select {
		case <-changed:
		case <-refused:
		case <-s.stopped:
			return lifecycle.ErrStopped
		case <-ctx.Done():
			if unconnected := s.consuming.LastErr(); unconnected != nil {
				err = unconnected
			}
			if err == nil {
				return fmt.Errorf("warren: method %s is not served yet: %w", m.Name, ctx.Err())
			}
			return fmt.Errorf("warren: method %s is not served yet: %w: %w", m.Name, ctx.Err(), err)
		}
	}
}

// Unserved returns the methods of a started server whose queues are not consumed at
// this moment, each with the reason: for health checks. Others are served meanwhile.
// It is empty if all is well. A method that a KillSwitch holds is not among them.
func (s *Server) Unserved() map[string]error {
	unserved := map[string]error{}
	for _, m := range s.methods {
		up, _, err := m.consumer.Up().Get()
		if up || m.consumer.Paused() {
			continue
		}
		switch {
		case s.consuming.LastErr() != nil:
			err = s.consuming.NotConnected()
		case err == nil:
			err = errors.New("warren: the queue is not consumed yet")
		}
		unserved[m.Name] = err
	}
	return unserved
}
