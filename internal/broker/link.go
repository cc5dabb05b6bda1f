package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/internal/policy"
)

// Component lives on a link's sessions, one after the other.
type Component interface {
	// Serve uses the session until it or ctx ends, and returns when it holds
	// nothing of it any more. ctx ends when the link stops: what can be ended
	// cleanly then is.
	Serve(ctx context.Context, s *Session)
}

// blockable components are told when the broker blocks or unblocks the link's
// publishes, and that it does not any more when they have left a session.
type blockable interface {
	setBlocked(blocked bool, reason string)
}

// Link supervises one connection: it connects, runs its components on the
// session, and connects again when the session ends, for ever.
type Link struct {
	settings   warren.Broker
	purpose    string
	logger     *slog.Logger
	components []Component
	runner     lifecycle.Runner
	log        LogLimiter // of run alone

	blockMu      sync.Mutex
	blockSession int // the last session that said something of blocking

	mu       sync.Mutex
	lastErr  error         // of the last attempt to connect, nil while connected
	refused  bool          // every URL was tried since the last session, and each was refused for good
	sessions int           // how many have begun
	changed  chan struct{} // closed and renewed at each change of the above
}

// The waits between attempts to connect.
const (
	reconnectFirst = 50 * time.Millisecond
	reconnectMost  = 2 * time.Second
)

// NewLink returns a link that is not started. The settings must be valid and
// have their defaults; purpose is shown in the connection's name.
func NewLink(settings warren.Broker, purpose string, logger *slog.Logger, components ...Component) *Link {
	return &Link{
		settings: settings, purpose: purpose, logger: logger, components: components,
		changed: make(chan struct{}),
	}
}

// Start begins to connect in the background.
func (l *Link) Start(context.Context) error {
	if err := l.runner.Start(); err != nil {
		return err
	}
	l.runner.Go(l.run)
	return nil
}

// Stop ends the components, then the connection.
func (l *Link) Stop(ctx context.Context) error { return l.runner.Stop(ctx) }

// Add puts one more component on the link. It must not be called after Start.
func (l *Link) Add(c Component) { l.components = append(l.components, c) }

// Sessions tells how many sessions have begun, hence how often the link has
// reconnected, less one.
func (l *Link) Sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions
}

// LastErr returns why the last attempt to connect failed, nil while connected
// or before the first attempt has ended.
func (l *Link) LastErr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastErr
}

// Refused returns a channel that is closed at the next change, and why the
// brokers refuse this client for good, if they do: every URL was tried and each
// refused the credentials or the virtual host.
func (l *Link) Refused() (<-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused {
		return l.changed, l.lastErr
	}
	return l.changed, nil
}

func (l *Link) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Link) run(ctx context.Context) {
	wait := policy.FullJitter(reconnectFirst, reconnectMost)
	urls := rotation{urls: slices.Clone(l.settings.URLs), shuffled: !l.settings.InOrder}
	refusals := map[string]bool{} // URLs that refuse this client for good
	for {
		url := urls.next()
		s, err := l.connect(ctx, url)
		switch {
		case err == nil:
			clear(refusals)
			began := time.Now()
			l.serve(ctx, s)
			// Without a connection nobody blocks; what this one has still to say is too late.
			l.setBlocked(s.Number+1, false, "")
			// A broker that accepts and closes at once must not be hammered, unless it
			// is known why it does.
			if time.Since(began) > reconnectMost || s.explained.Load() {
				wait.Reset()
			}
		case ctx.Err() == nil:
			if IsPermanent(err) && l.settings.Credentials == nil {
				refusals[url] = true
			} else {
				clear(refusals)
			}
			l.set(func() {
				l.lastErr = err
				l.refused = !slices.ContainsFunc(l.settings.URLs, func(url string) bool { return !refusals[url] })
			})
			if left, ok := l.log.Allow(err); ok {
				l.logger.Warn("cannot connect to the broker", "purpose", l.purpose, "error", err, "not_logged", left)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// connect begins the next session.
func (l *Link) connect(ctx context.Context, url string) (*Session, error) {
	c, err := dial(ctx, &l.settings, url, l.purpose)
	if err != nil {
		return nil, err
	}
	var number int
	l.set(func() { l.sessions++; number = l.sessions; l.lastErr = nil; l.refused = false })
	s := newSession(number, c, func(blocked bool, reason string) { l.setBlocked(number, blocked, reason) })
	s.turn = make(chan struct{}, 1)
	s.another = func(ctx context.Context) (*Session, error) {
		c, err := dial(ctx, &l.settings, url, l.purpose+", declares")
		if err != nil {
			return nil, err
		}
		return newSession(number, c, func(bool, string) {}), nil
	}
	return s, nil
}

// serve runs the components on one session until it ends.
func (l *Link) serve(ctx context.Context, s *Session) {
	l.logger.Debug("connected to the broker", "purpose", l.purpose, "session", s.Number)
	var running sync.WaitGroup
	for _, c := range l.components {
		running.Go(func() { c.Serve(ctx, s) })
	}
	select {
	case <-s.Done():
		l.set(func() { l.lastErr = s.Err() })
		if left, ok := l.log.Allow(s.Err()); ok {
			l.logger.Warn("the connection to the broker has ended", "purpose", l.purpose, "session", s.Number, "error", s.Err(),
				"not_logged", left)
		}
	case <-ctx.Done():
		if !lifecycle.WaitFor(closeTimeout, running.Wait) {
			s.Kill(errors.New("the link is stopped"))
		}
	}
	running.Wait()
	s.close()
}

// setBlocked tells the components what the broker says on a session. What an
// earlier session has still to say counts no more: nobody would take it back.
func (l *Link) setBlocked(session int, blocked bool, reason string) {
	l.blockMu.Lock()
	defer l.blockMu.Unlock()
	if session < l.blockSession {
		return
	}
	l.blockSession = session
	for _, c := range l.components {
		if b, ok := c.(blockable); ok {
			b.setBlocked(blocked, reason)
		}
	}
	if blocked {
		l.logger.Warn("the broker blocks publishers", "purpose", l.purpose, "reason", reason)
	}
}

// NotConnected describes why there is no connection, for errors.
func (l *Link) NotConnected() error {
	if err := l.LastErr(); err != nil {
		return fmt.Errorf("warren: not connected: %w", err)
	}
	return errors.New("warren: not connected yet")
}

// rotation goes through the URLs again and again: each once in a round.
type rotation struct {
	urls     []string
	shuffled bool
	at       int
}

func (r *rotation) next() string {
	i := r.at % len(r.urls)
	if i == 0 && r.shuffled {
		rand.Shuffle(len(r.urls), func(i, j int) { r.urls[i], r.urls[j] = r.urls[j], r.urls[i] })
	}
	r.at++
	return r.urls[i]
}
