package broker

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var silent = slog.New(slog.DiscardHandler)

var errBroken = errors.New("the wire is broken")

// sink is a connection that keeps what is written to it.
type sink struct {
	net.Conn // nil: nothing else is called

	mu     sync.Mutex
	all    []byte
	writes int
	fail   bool
	closed int
}

func (c *sink) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail {
		return 0, errBroken
	}
	c.all = append(c.all, p...)
	c.writes++
	return len(p), nil
}

func (c *sink) SetWriteDeadline(time.Time) error { return nil }

func (c *sink) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

// written returns all that was written, and in how many writes.
func (c *sink) written() (all []byte, writes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all, c.writes
}

// offline returns a session that has a socket and no connection.
func offline(conn net.Conn) *Session {
	return &Session{Number: 1, connection: &connection{sock: newSocket(conn, time.Minute)}, done: make(chan struct{})}
}
