package client

import (
	"context"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
)

// serverCheck knows which methods have servers, so that calls need not ask.
type serverCheck struct {
	mu      sync.Mutex
	methods map[string]*sighting
}

// sighting is what is known of one method. All but probed is guarded by
// serverCheck.mu.
type sighting struct {
	probed chan struct{} // closed when the first probe has ended
	verdict
	asking bool
}

type verdict struct {
	at       time.Time
	servers  int
	noRoute  bool
	unusable bool // the broker does not tell; calls go ahead
}

const (
	// believeAlive is how long servers that were seen are taken for alive
	// without asking again in the background.
	believeAlive = time.Second
	// forgetAlive is the age at which a sighting says nothing: the next call
	// waits for the answer.
	forgetAlive = 30 * time.Second
	// believeAbsent is how long no server means no server.
	believeAbsent = 100 * time.Millisecond
	// probePatience bounds the wait for an answer; the call then goes ahead and
	// meets whatever there is.
	probePatience = time.Second
	// mostSightings bounds the memory of methods that callers make up.
	mostSightings = 4096
)

func newServerCheck() *serverCheck { return &serverCheck{methods: map[string]*sighting{}} }

// allow returns nil if the call may be published: a server is there as far as
// is known, or nothing can be known. It waits only if nothing fresh is known.
func (k *serverCheck) allow(ctx context.Context, cl *call, expired <-chan time.Time) *warren.Error {
	c, method, now := cl.c, cl.queue(), time.Now()
	k.mu.Lock()
	s, ok := k.methods[method]
	if !ok {
		if len(k.methods) >= mostSightings {
			clear(k.methods)
		}
		s = &sighting{probed: make(chan struct{})}
		k.methods[method] = s
	}
	age := now.Sub(s.at)
	usable := s.servers > 0 || s.unusable
	switch {
	case usable && age < believeAlive:
		k.mu.Unlock()
		return nil
	case usable && age < forgetAlive:
		k.ask(c, method, s)
		k.mu.Unlock()
		return nil
	case !usable && !s.at.IsZero() && age < believeAbsent:
		v := s.verdict
		k.mu.Unlock()
		return v.refusal()
	}
	if !s.asking {
		s.probed = make(chan struct{})
		k.ask(c, method, s)
	}
	probed := s.probed
	k.mu.Unlock()

	patience := time.NewTimer(min(probePatience, cl.deadline.Sub(now)))
	defer patience.Stop()
	select {
	case <-probed:
		k.mu.Lock()
		v := s.verdict
		k.mu.Unlock()
		return v.refusal()
	case <-patience.C:
		return nil
	case <-expired:
		return errDeadline(warren.NotExecuted)
	case <-ctx.Done():
		return c.ended(ctx, warren.NotExecuted)
	case <-c.closing:
		return errClosed()
	}
}

func (v *verdict) refusal() *warren.Error {
	switch {
	case v.servers > 0 || v.unusable:
		return nil
	case v.noRoute:
		return errNoRoute()
	default:
		return errNoServer()
	}
}

// ask probes in the background. The caller holds mu.
func (k *serverCheck) ask(c *Client, method string, s *sighting) {
	if s.asking {
		return
	}
	s.asking = true
	running := c.background.Go(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, probePatience)
		defer cancel()
		n, err := c.prober.Consumers(ctx, method)
		v := verdict{at: time.Now(), servers: n, noRoute: broker.IsNotFound(err)}
		// Without an answer, or with one that only says that the queue is
		// somebody's own, the publish itself must tell.
		v.unusable = err != nil && !v.noRoute
		k.mu.Lock()
		s.verdict, s.asking = v, false
		probed := s.probed
		k.mu.Unlock()
		closeOnce(probed)
	})
	if !running {
		s.asking = false
	}
}

// closeOnce closes c unless it is closed. One probe at a time ends with it.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// forget drops what is known of a method, when a call has found it wrong.
func (k *serverCheck) forget(method string) {
	k.mu.Lock()
	delete(k.methods, method)
	k.mu.Unlock()
}
