package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// connection is one connection to a broker: the library's, what reads and writes beneath
// it, and the socket.
type connection struct {
	conn   *amqp.Connection
	frames *frames.Conn
	sock   *socket
}

// dial connects to one URL and opens an AMQP connection on it, all within the
// settings' DialTimeout. Its errors name the host, never the credentials.
func dial(ctx context.Context, settings *warren.Broker, rawURL, purpose string) (*connection, error) {
	uri, err := amqp.ParseURI(rawURL)
	if err != nil {
		return nil, errors.New("warren: the broker's URL cannot be parsed") // err may quote the password
	}
	addr := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	ctx, cancel := context.WithTimeout(ctx, settings.DialTimeout)
	defer cancel()
	fail := func(err error) error { return fmt.Errorf("warren: connect to %s: %w", addr, err) }

	auth, err := authentication(ctx, settings, uri)
	if err != nil {
		return nil, fail(err)
	}
	conn, err := settings.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fail(err)
	}
	if uri.Scheme == "amqps" {
		secured := tls.Client(conn, tlsConfig(settings.TLS, uri.Host))
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fail(err)
		}
		conn = secured
	}
	// The library's handshake reads and writes without deadlines.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c := &connection{sock: newSocket(conn, settings.Heartbeat+settings.Heartbeat/2)}
	c.frames = frames.New(c.sock)
	properties := clientProperties(settings.Name, purpose)
	c.conn, err = amqp.Open(c.frames, amqp.Config{
		SASL:       []amqp.Authentication{explainedAuth{auth, properties}},
		Vhost:      uri.Vhost,
		Heartbeat:  settings.Heartbeat,
		FrameSize:  128 << 10,
		Locale:     "en_US",
		Properties: properties,
	})
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.sock.Close()
		cut := c.sock.readError()
		switch {
		case ctx.Err() != nil && !isBrokers(err):
			// Not the library's guess, which would be a refusal for good.
			err = fmt.Errorf("%w (%s)", ctx.Err(), err.Error())
		case cut != nil && !isBrokers(err) && !errors.Is(err, amqp.ErrSASL):
			// The library guesses at a wrong password or virtual host.
			err = fmt.Errorf("the connection was closed during the handshake: %w", cut)
		}
		return nil, fail(err)
	}
	c.conn.Config.SASL = nil // it holds the password
	return c, nil
}

func tlsConfig(config *tls.Config, host string) *tls.Config {
	if config == nil {
		return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = host
	}
	return config
}

func authentication(ctx context.Context, settings *warren.Broker, uri amqp.URI) (amqp.Authentication, error) {
	switch {
	case settings.Auth == warren.AuthExternal:
		return &amqp.ExternalAuth{}, nil
	case settings.Credentials == nil:
		return uri.PlainAuth(), nil
	}
	user, password, err := settings.Credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("get credentials: %w", err)
	}
	return &amqp.PlainAuth{Username: user, Password: password}, nil
}

// explainedAuth is an authentication that asks the broker to say why it refuses. Without
// that it closes the socket without a word, as whatever cuts a connection does. The
// library fills in the capabilities itself, before it asks for the response.
type explainedAuth struct {
	amqp.Authentication
	properties amqp.Table
}

// Response implements amqp.Authentication.
func (a explainedAuth) Response() string {
	if capabilities, ok := a.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return a.Authentication.Response()
}

func clientProperties(name, purpose string) amqp.Table {
	properties := amqp.Table{
		"product":  "Warren",
		"platform": "golang",
	}
	if name != "" {
		purpose = name + " (" + purpose + ")"
	}
	properties.SetClientConnectionName(purpose)
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		properties["version"] = build.Main.Version
	}
	return properties
}

// closeTimeout bounds how long the AMQP close of a connection may take before its
// socket is closed underneath.
const closeTimeout = 2 * time.Second
