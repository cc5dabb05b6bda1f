package rig

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/amqptest"
)

// dialer reaches a broker over pipes that behave as sockets do in one respect: a
// write does not wait for the broker to read. A client holds locks while it
// writes, and whoever waits for a lock keeps the time of a bubble from passing:
// with a bare pipe, a broker that delays what it reads would delay it for ever.
func dialer(b *amqptest.Broker) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := b.Dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &bufferedConn{Conn: nc, wake: make(chan struct{}, 1)}
		go c.pump()
		return c, nil
	}
}

// bufferedConn buffers what is written, without a bound: it is for tests.
type bufferedConn struct {
	net.Conn

	wake chan struct{} // one token: there is something to do for the pump

	mu     sync.Mutex
	buf    []byte
	closed bool
	err    error // of the pump
}

// linger is how long a connection that was closed is kept for what it has not
// yet written.
const linger = time.Second

// Write implements net.Conn. It only copies.
func (c *bufferedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.err != nil:
		return 0, c.err
	}
	c.buf = append(c.buf, p...)
	c.poke()
	return len(p), nil
}

func (c *bufferedConn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// pump writes until the connection is closed, or fails, and then closes it.
func (c *bufferedConn) pump() {
	defer c.Conn.Close()
	for range c.wake {
		for {
			c.mu.Lock()
			p, closed := c.buf, c.closed
			c.buf = nil
			c.mu.Unlock()
			if len(p) == 0 {
				if closed {
					return
				}
				break
			}
			if _, err := c.Conn.Write(p); err != nil {
				c.mu.Lock()
				c.err = err
				c.mu.Unlock()
				return
			}
		}
	}
}

// Read implements net.Conn.
func (c *bufferedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.isClosed() {
		err = net.ErrClosed
	}
	return n, err
}

func (c *bufferedConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close implements net.Conn.
func (c *bufferedConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
	_ = c.Conn.SetWriteDeadline(time.Now().Add(linger))
	c.poke()
	return nil
}

// SetDeadline implements net.Conn.
func (c *bufferedConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *bufferedConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn. No write takes any time.
func (c *bufferedConn) SetWriteDeadline(time.Time) error { return nil }
