package client

import (
	"context"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
)

// serverCheck knows which methods have servers, so that most calls need not ask.
type serverCheck struct {
	mu      sync.Mutex
	methods map[string]*served
}

// served is what is known of one method, guarded by serverCheck.mu.
type served struct {
	at     time.Time            // of the last answer; zero before the first
	absent func() *warren.Error // what calls end with; nil if there are servers, or the broker does not tell
	asking chan struct{}        // closed when the next answer has come; nil if nobody asks
}

const (
	// believeAlive is how long servers that were seen are taken for alive
	// without asking again in the background.
	believeAlive = time.Second
	// forgetAlive is the age at which what was seen says nothing: the next call
	// waits for the answer.
	forgetAlive = 30 * time.Second
	// believeAbsent is how long no server means no server.
	believeAbsent = 100 * time.Millisecond
	// probePatience bounds the wait for an answer; the call then goes ahead and
	// meets whatever there is.
	probePatience = time.Second
	// mostServed bounds the memory of methods that callers make up.
	mostServed = 4096
)

func newServerCheck() *serverCheck { return &serverCheck{methods: map[string]*served{}} }

// allow returns nil if the call may be published: a server is there as far as
// is known, or nothing can be known. It waits only if nothing fresh is known.
func (k *serverCheck) allow(ctx context.Context, cl *call, now time.Time, expired <-chan time.Time) *warren.Error {
	c := cl.c
	k.mu.Lock()
	m := k.method(cl.queue())
	fresh, known := believeAlive, forgetAlive
	if m.absent != nil {
		fresh, known = believeAbsent, believeAbsent
	}
	age := now.Sub(m.at)
	if age >= fresh {
		k.ask(c, cl.queue(), m)
	}
	absent, asking := m.absent, m.asking
	k.mu.Unlock()
	if age >= known {
		patience := time.NewTimer(min(probePatience, cl.deadline.Sub(now)))
		defer patience.Stop()
		select {
		case <-asking:
			k.mu.Lock()
			absent = m.absent
			k.mu.Unlock()
		case <-patience.C:
			return nil
		case <-expired:
			return errDeadline()
		case <-ctx.Done():
			return ended(ctx)
		case <-c.closing:
			return errClosed()
		}
	}
	if absent != nil {
		return absent()
	}
	return nil
}

// method returns what is known of a method. The caller holds mu.
func (k *serverCheck) method(name string) *served {
	m, ok := k.methods[name]
	if !ok {
		if len(k.methods) >= mostServed {
			clear(k.methods)
		}
		m = &served{}
		k.methods[name] = m
	}
	return m
}

// ask probes in the background, unless somebody does. The caller holds mu.
func (k *serverCheck) ask(c *Client, method string, m *served) {
	if m.asking != nil {
		return
	}
	asking := make(chan struct{})
	running := c.background.Go(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, probePatience)
		defer cancel()
		servers, err := c.prober.Consumers(ctx, method)
		var absent func() *warren.Error
		switch {
		case broker.IsNotFound(err):
			absent = errNoRoute
		case err == nil && servers == 0:
			absent = errNoServer
		}
		// Any other error is no answer, or one that only says that the queue is
		// somebody's own: the publish itself must tell.
		k.mu.Lock()
		m.at, m.absent, m.asking = time.Now(), absent, nil
		k.mu.Unlock()
		close(asking)
	})
	if running {
		m.asking = asking
	}
}

// forget drops what is known of a method, when a call has found it wrong.
func (k *serverCheck) forget(method string) {
	k.mu.Lock()
	delete(k.methods, method)
	k.mu.Unlock()
}
