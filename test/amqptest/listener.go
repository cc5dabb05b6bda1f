package amqptest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Addr is the address that the broker listens on, host and port. A broker
// without a listener has a name that no resolver knows.
func (b *Broker) Addr() string {
	if b.listener == nil {
		return "amqptest.invalid:5672"
	}
	return b.listener.Addr().String()
}

// Dial connects to this broker over an in-memory pipe, whatever the network and
// the address. It fits the hooks for dialling that clients have. The pipe holds
// 64 KiB in each direction, as a socket would: a client can send its heartbeats
// to a broker that does not read. Made and used inside of a testing/synctest
// bubble, a broker whose Listen is "none" runs on the bubble's time.
//
// It fails if the broker is closed, stopped or full, and if ctx has ended.
func (b *Broker) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("amqptest: dial: %w", err)
	}
	client, server := newPipe()
	if err := b.adopt(server); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("amqptest: dial: %w", err)
	}
	return client, nil
}

// accept takes connections until the listener is closed.
func (b *Broker) accept() {
	defer b.running.Done()
	for {
		nc, err := b.listener.Accept()
		switch {
		case err == nil:
			if err := b.adopt(nc); err != nil {
				b.logf("connection from %v: %v", nc.RemoteAddr(), err)
			}
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of file descriptors, for one: it may pass.
			b.logf("accept: %v", err)
			select {
			case <-time.After(10 * time.Millisecond):
			case <-b.closed:
				return
			}
		}
	}
}

var (
	errStopped = errors.New("the broker is down")
	errFull    = errors.New("the broker has as many connections as it may have")
	errClosed  = errors.New("the broker is closed")
)

// adopt serves a connection, or closes it.
func (b *Broker) adopt(nc net.Conn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	select {
	case <-b.closed:
		err = errClosed
	default:
	}
	switch {
	case err != nil:
	case b.down:
		err = errStopped
	case len(b.conns) >= b.options.MaxConnections:
		err = errFull
	}
	if err != nil {
		_ = nc.Close()
		return err
	}
	if b.options.TLS != nil {
		nc = tls.Server(nc, b.options.TLS)
	}
	b.accepted++
	c := newConn(b, b.accepted, nc)
	b.conns[c] = struct{}{}
	b.running.Add(1)
	go c.serve()
	return nil
}

// forget ends the broker's interest in a connection.
func (b *Broker) forget(c *conn) {
	b.mu.Lock()
	delete(b.conns, c)
	b.mu.Unlock()
	close(c.ended)
}
