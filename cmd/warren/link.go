package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// link is a connection to a broker by the AMQP library alone, with one channel, for
// what is no call. It is for one goroutine.
type link struct {
	timeout time.Duration // of each answer

	socket net.Conn
	conn   *amqp.Connection
	ch     *amqp.Channel
	closes chan *amqp.Error
	late   atomic.Bool // the socket was closed because the broker had not answered
}

// errLate is why a link ended that the broker left without an answer.
var errLate = errors.New("the broker has not answered")

// openLink connects to the first broker that can be. The error is an exitError.
func openLink(ctx context.Context, settings warren.Broker, name string, timeout time.Duration) (*link, error) {
	var failures []error
	for _, url := range settings.URLs {
		l := &link{timeout: timeout}
		err := l.dial(ctx, settings, url, name)
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, interrupted()
		}
		failures = append(failures, err)
	}
	return nil, advise(exit(exitBroker, "%s", redact(errors.Join(failures...).Error())), adviceNotConnected)
}

func (l *link) dial(ctx context.Context, settings warren.Broker, url, name string) error {
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(name)
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	fail := func(err error) error { return fmt.Errorf("connect: %w", err) }
	uri, err := amqp.ParseURI(url)
	if err != nil {
		return fail(err)
	}
	address := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	if l.socket, err = (&net.Dialer{}).DialContext(ctx, "tcp", address); err != nil {
		return fail(err)
	}
	if uri.Scheme == "amqps" {
		config := settings.TLS.Clone()
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		config.ServerName = cmp.Or(config.ServerName, uri.Host)
		secured := tls.Client(l.socket, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return fail(errors.Join(err, l.socket.Close()))
		}
		l.socket = secured
	}
	// For the handshake; the library takes it away after.
	if err := l.socket.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return fail(err)
	}
	sasl := amqp.Authentication(uri.PlainAuth())
	if settings.Auth == warren.AuthExternal {
		sasl = &amqp.ExternalAuth{}
	}
	conn, err := amqp.Open(readableConn{l.socket, frames.New(l.socket)}, amqp.Config{
		SASL: []amqp.Authentication{sasl}, Vhost: uri.Vhost, Heartbeat: linkHeartbeat, Properties: properties, Locale: "en_US",
	})
	if err != nil {
		return fail(errors.Join(err, l.socket.Close()))
	}
	l.conn = conn
	return nil
}

// linkHeartbeat is how often a link shows the broker that it lives.
const linkHeartbeat = 10 * time.Second

// readableConn keeps from the library what that cannot read: what others have written
// must not end a connection.
type readableConn struct {
	net.Conn
	frames *frames.Conn
}

func (c readableConn) Read(p []byte) (int, error)  { return c.frames.Read(p) }
func (c readableConn) Write(p []byte) (int, error) { return c.frames.Write(p) }
func (c readableConn) Close() error                { return c.frames.Close() }

// openChannel opens the channel, for the first time or after a method that the
// broker refused has closed it.
func (l *link) openChannel() error {
	return l.do(func() (err error) {
		if l.ch, err = l.conn.Channel(); err != nil {
			return err
		}
		l.closes = l.ch.NotifyClose(make(chan *amqp.Error, 1))
		return nil
	})
}

// do runs methods of the library, which have no contexts, and bounds the wait for
// their answers by closing the socket. The error is errLate, an *amqp.Error that
// says why the broker refuses, or another of the library's.
func (l *link) do(f func() error) error {
	timer := time.AfterFunc(l.timeout, func() {
		l.late.Store(true)
		_ = l.socket.Close()
	})
	defer timer.Stop()
	err := f()
	if err == nil {
		return nil
	}
	if errors.Is(err, amqp.ErrClosed) {
		// Why it was closed is told elsewhere.
		select {
		case reason, ok := <-l.closes:
			if ok && reason != nil {
				err = reason
			}
		default:
		}
	}
	if l.late.Load() {
		return errLate
	}
	return err
}

// drop ends the connection without waiting for much.
func (l *link) drop() {
	_ = l.do(l.conn.Close)
	_ = l.socket.Close()
}
