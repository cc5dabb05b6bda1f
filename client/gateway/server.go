package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ServerConfig bounds what the connections of an HTTP server may take. Every zero
// field has a default.
type ServerConfig struct {
	// HeaderTimeout is how long the head of a request may take to arrive. Default: 5 s;
	// 1 ms to 1 h.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection is kept between requests. Default: 2 min;
	// 1 ms to 24 h.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds the head of a request, in bytes; net/http allows some 4 KiB
	// more. Default: 32 KiB; 4 KiB to 1 MiB.
	MaxHeaderBytes int
	// DrainDelay is how long [Serve] goes on accepting connections after it has been
	// told to stop, so that load balancers learn of it from /readyz. Default: 0; at
	// most 10 min.
	DrainDelay time.Duration
	// DrainTimeout is how long requests at work may take after that. Default: 20 s;
	// 1 ms to 1 h.
	DrainTimeout time.Duration
	// TLS, if set, has the server speak TLS, and HTTP/2 to those who can. It must have
	// certificates.
	TLS *tls.Config
	// H2C speaks HTTP/2 without TLS to those who begin with it, as proxies may do.
	H2C bool
	// Logger gets what is wrong with connections. Default: slog.Default().
	Logger *slog.Logger
}

func (c ServerConfig) withDefaults() ServerConfig {
	setDefault(&c.HeaderTimeout, 5*time.Second)
	setDefault(&c.IdleTimeout, 2*time.Minute)
	setDefault(&c.MaxHeaderBytes, 32<<10)
	setDefault(&c.DrainTimeout, 20*time.Second)
	setDefault(&c.Logger, slog.Default())
	return c
}

// CheckServer returns what is wrong with cfg: nothing if [NewServer] takes it.
func CheckServer(cfg ServerConfig) []FieldError {
	cfg = cfg.withDefaults()
	var c checker
	within(&c, "", "server.header_timeout", cfg.HeaderTimeout, time.Millisecond, time.Hour)
	within(&c, "", "server.idle_timeout", cfg.IdleTimeout, time.Millisecond, 24*time.Hour)
	within(&c, "", "server.max_header_bytes", cfg.MaxHeaderBytes, 4<<10, 1<<20)
	within(&c, "", "server.drain_delay", cfg.DrainDelay, 0, 10*time.Minute)
	within(&c, "", "server.drain_timeout", cfg.DrainTimeout, time.Millisecond, time.Hour)
	if cfg.TLS != nil && len(cfg.TLS.Certificates) == 0 && cfg.TLS.GetCertificate == nil && cfg.TLS.GetConfigForClient == nil {
		c.add("", "server.tls", "has no certificate")
	}
	return c.found
}

// NewServer returns a server for a gateway, or for a handler around one, that slow and
// greedy callers cannot exhaust. How long bodies may take to come and to go is the
// gateway's to bound, so that calls may take longer than either.
func NewServer(h http.Handler, cfg ServerConfig) (*http.Server, error) {
	if found := CheckServer(cfg); len(found) > 0 {
		return nil, found[0]
	}
	cfg = cfg.withDefaults()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.TLS != nil)
	protocols.SetUnencryptedHTTP2(cfg.H2C)
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: cfg.HeaderTimeout, IdleTimeout: cfg.IdleTimeout, MaxHeaderBytes: cfg.MaxHeaderBytes,
		Protocols: protocols,
		// Peers that have vanished from an HTTP/2 connection, and those that read nothing.
		HTTP2:    &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 30 * time.Second},
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelInfo),
	}
	if cfg.TLS != nil {
		s.TLSConfig = cfg.TLS.Clone()
		s.TLSConfig.MinVersion = max(s.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	return s, nil
}

// Serve serves g on l, which it closes, until ctx ends. Then it drains: /readyz says
// so, after DrainDelay no connection is accepted any more, and requests at work may
// end within DrainTimeout. Those that do not are cut off, and the error says so; their
// calls go on until they have ended, or the client is closed. Serve returns nil if none
// were.
func Serve(ctx context.Context, l net.Listener, g *Gateway, cfg ServerConfig) error {
	s, err := NewServer(g, cfg)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	cfg = cfg.withDefaults()
	ended := make(chan error, 1)
	go func() {
		if cfg.TLS != nil {
			ended <- s.ServeTLS(l, "", "")
		} else {
			ended <- s.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		_ = s.Close()
		return fmt.Errorf("gateway: %w", err)
	case <-ctx.Done():
	}
	g.Drain()
	if cfg.DrainDelay > 0 {
		select {
		case err := <-ended:
			_ = s.Close()
			return fmt.Errorf("gateway: %w", err)
		case <-time.After(cfg.DrainDelay):
		}
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.DrainTimeout)
	defer cancel()
	err = s.Shutdown(patience)
	if err != nil {
		err = fmt.Errorf("gateway: requests at work were cut off: %w", err)
	}
	err = cmp.Or(err, s.Close())
	if served := <-ended; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = fmt.Errorf("gateway: %w", served)
	}
	return err
}
