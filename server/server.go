package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/internal/wire"
)

// Server serves methods. Register all of them, then Run, or Start and Stop.
// Methods of a Server may be called concurrently; handlers are.
type Server struct {
	cfg     Config
	methods map[string]*method // fixed once started

	publishing *broker.Link
	consuming  *broker.Link
	publisher  *broker.Publisher
	owners     owners
	counters   counters

	direct *direct

	mu      sync.Mutex
	state   state
	stopped chan struct{} // closed when Stop has ended

	handlers   context.Context // of every handler; ends when they must
	cancel     context.CancelCauseFunc
	writes     context.Context // of what is recorded of them; ends a little later
	background sync.WaitGroup  // what ends when handlers must
	open       sync.WaitGroup  // requests taken and neither acknowledged nor given back
}

type state uint8

const (
	registering state = iota
	running
	stopping
)

// New returns a server without methods. The error names the field of cfg that
// is wrong.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, methods: map[string]*method{}, stopped: make(chan struct{})}
	s.handlers, s.cancel = context.WithCancelCause(context.Background())
	writes, cancel := context.WithCancel(context.Background())
	context.AfterFunc(s.handlers, func() { time.AfterFunc(writePatience, cancel) })
	s.writes = writes
	replies := broker.PublisherConfig{Logger: cfg.Logger, HoldWhenBlocked: true, Bundle: s.bundle, Written: writtenHook()}
	s.publisher, s.direct = broker.NewPublisher(replies), newDirect(s.handlers, &cfg, replies)
	s.publishing = broker.NewLink(cfg.Broker, "warren server, publishes", cfg.Logger, s.publisher)
	s.consuming = broker.NewLink(cfg.Broker, "warren server, consumes", cfg.Logger, &s.owners)
	return s, nil
}

// HandleRaw registers a handler that sees bodies as they travel. It fails if
// the method is configured wrongly or registered already, or the server has
// been started.
//
// The handler's context ends with the request's deadline and when the server is
// stopped. It may run again for the same call, and concurrently with itself.
// What it returns is described at [Handle].
func (s *Server) HandleRaw(m Method, h warren.Handler) error {
	if h == nil {
		return fmt.Errorf("warren: the handler of %s is nil", m.Name)
	}
	return s.register(m.withDefaults(s.cfg.Store), nil, func(r *warren.Request) (body, error) {
		return func(ctx context.Context, _ any) (*warren.Reply, error) { return h(ctx, r) }, nil
	})
}

// register adds a method whose defaults are filled in. t is there of transactional
// handlers.
func (s *Server) register(m Method, t transactor, p prepare) error {
	if err := cmp.Or(m.validate(), m.Dedupe.demands(m.field, s.cfg.Store)); err != nil {
		return err
	}
	if m.Dedupe.Mode == Transactional && t == nil {
		return fmt.Errorf("warren: %s is transactional; such a handler is registered by HandleTx", m.field("Dedupe.Mode"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != registering {
		return fmt.Errorf("warren: register %s before the server is started", m.Name)
	}
	if _, ok := s.methods[m.Name]; ok {
		return fmt.Errorf("warren: method %s is registered already", m.Name)
	}
	reg := newMethod(s, m, t, p)
	s.methods[m.Name] = reg
	if reg.owner != nil {
		s.owners.all = append(s.owners.all, reg.owner)
	}
	for _, c := range reg.components() {
		s.consuming.Add(c)
	}
	return nil
}

// Start connects and returns once every method is consumed and, with a store, clients
// can ask what became of its calls, unless the broker refuses the queue for that. It
// fails when ctx ends before a method is consumed, or at once if a broker refuses what
// cannot be had by waiting: the credentials, a permission, one more queue, an existing
// queue that is not there. After a failure the server is stopped. A method that the
// broker refuses later is left out, and tried again, while the others are served: see
// [Server.Unserved].
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	switch {
	case s.state == stopping:
		s.mu.Unlock()
		return lifecycle.ErrStopped
	case s.state == running:
		s.mu.Unlock()
		return lifecycle.ErrStarted
	case len(s.methods) == 0:
		s.mu.Unlock()
		return errors.New("warren: the server has no methods")
	}
	s.state = running
	err := errors.Join(s.publishing.Start(ctx), s.consuming.Start(ctx))
	s.mu.Unlock()
	if err == nil {
		err = s.ready(ctx)
	}
	if err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
		defer cancel()
		err = errors.Join(err, s.Stop(stopCtx))
	}
	return err
}

// ready waits until every method is consumed, or one of them never will be.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(s.methods))
	for _, m := range s.methods {
		go func() { results <- m.ready(ctx) }()
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

// Unserved returns the methods of a started server whose queues are not consumed at
// this moment, each with the reason: for health checks. Others are served meanwhile.
// It is empty if all is well. A method that a KillSwitch holds is not among them.
func (s *Server) Unserved() map[string]error {
	unserved := map[string]error{}
	for _, m := range s.methods {
		if err := m.unserved(); err != nil {
			unserved[m.Name] = err
		}
	}
	return unserved
}

// badReplyTo says why a reply address must not be used, or is empty. A reply to
// a method's queue would be served as a request, and its reply again.
func (s *Server) badReplyTo(replyTo string) string {
	if _, ok := s.methods[replyTo]; ok {
		return "the reply address is a method's queue"
	}
	if len(replyTo) > 255 {
		return "the reply address is too long"
	}
	if isDirect(replyTo) && !wire.IsDirectReplyTo(replyTo) {
		return "the reply address is no direct reply-to address"
	}
	return ""
}

// stopPatience is how long Run gives handlers that are at work when its context
// ends.
const stopPatience = 20 * time.Second

// Run starts the server, serves until ctx ends, and stops with up to 20 s for
// the handlers that are at work; use Start and Stop for another bound. It
// returns nil after an orderly stop.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.stopped:
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	return s.Stop(stopCtx)
}

// errStopping is the cause of handlers' contexts that end because the server
// stops.
var errStopping = errors.New("warren: the server is stopping")

// Stop ends the server: it takes no more requests, lets handlers that are at
// work end and answer, cancels their contexts when ctx ends, and gives back to
// the broker what is unfinished a second after that, for another server.
// Requests that were fetched and not begun are given back too.
//
// It returns nil if every handler ended by itself, and ctx's error if some had
// to be cancelled. Stopping twice, or before starting, is fine: every Stop
// returns when the server has stopped or its own ctx has ended.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	before := s.state
	s.state = stopping
	s.mu.Unlock()
	if before == stopping {
		select {
		case <-s.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(s.stopped)
	for _, m := range s.methods {
		m.drain()
	}
	err := s.drain(ctx)
	if err != nil {
		s.cancel(errStopping)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelPatience)
		defer cancel()
		_ = s.drain(grace) // what is not done by now is given back
	}
	s.mu.Lock()
	s.cancel(errStopping)
	s.mu.Unlock()
	s.background.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), linkPatience)
	defer cancel()
	// Consumers first: what they gave back must not be answered any more.
	linkErr := s.consuming.Stop(last)
	linkErr = errors.Join(linkErr, s.publishing.Stop(last), s.direct.stop(last))
	s.publisher.Close()
	s.direct.close()
	return errors.Join(err, linkErr)
}

// inBackground runs f, which returns when handlers must, unless they must by now.
func (s *Server) inBackground(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handlers.Err() == nil {
		s.background.Go(f)
	}
}

// isStopping reports whether Stop has been called.
func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stopping
}

const (
	cancelPatience = time.Second
	linkPatience   = 5 * time.Second
)

// drain waits for the handlers at work, their replies and acknowledgements.
func (s *Server) drain(ctx context.Context) error {
	for _, m := range s.methods {
		if err := m.wait(ctx); err != nil {
			return err
		}
	}
	return lifecycle.Wait(ctx, s.open.Wait)
}

func writtenHook() func(*broker.Publishing) {
	if !crashpoint.Enabled() {
		return nil
	}
	return func(p *broker.Publishing) {
		if r, ok := p.Sink.(*response); ok {
			crashpoint.Reached(crashpoint.ReplyPublished, r.ex.m.Name, p.Msg.CorrelationId)
		}
	}
}
