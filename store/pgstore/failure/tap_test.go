package failure

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
)

// tap sits in the connections of a pool, and cuts one at a message that the client sends: before the database has it, or
// once it has answered.
type tap struct {
	mu     sync.Mutex
	dialed int
	spare  int // the number of a connection that is not cut: the store's session, which sends by itself
	count  int // messages until the cut; 0: none
	after  bool
}

var errCut = errors.New("the test has cut the connection")

// into is for connect.
func (t *tap) into(config *pgxpool.Config) {
	config.MaxConns = 4
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.dialed++
		return &tapped{Conn: conn, tap: t, number: t.dialed}, nil
	}
}

// cutAt has a connection cut at the nth message from now on, and is 0 again once that was done.
func (t *tap) cutAt(n int, after bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count, t.after = n, after
}

// disarm reports whether the connection was cut.
func (t *tap) disarm() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	cut := t.count == 0
	t.count = 0
	return cut
}

// now counts a message and reports whether it is the one.
func (t *tap) now(number int) (cut, after bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 || number == t.spare {
		return false, false
	}
	t.count--
	return t.count == 0, t.after
}

// tapped is a connection of the pool.
type tapped struct {
	net.Conn
	tap    *tap
	number int

	mu       sync.Mutex
	answered bool // the next answer of the database is not handed on
}

func (c *tapped) Write(b []byte) (int, error) {
	cut, after := c.tap.now(c.number)
	if !cut {
		return c.Conn.Write(b)
	}
	if !after {
		_ = c.Conn.Close()
		return 0, errCut
	}
	c.mu.Lock()
	c.answered = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered && n > 0 {
		_ = c.Conn.Close()
		return 0, errCut
	}
	return n, err
}
