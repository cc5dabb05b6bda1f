package warren

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Auth is how a connection proves who it is.
type Auth uint8

const (
	// AuthPlain sends the user and the password of the URL (SASL PLAIN);
	// guest and guest if the URL has none.
	AuthPlain Auth = iota
	// AuthExternal lets the broker take the identity from the TLS client
	// certificate (SASL EXTERNAL). It needs amqps URLs.
	AuthExternal
)

// Broker says how to reach RabbitMQ. The zero value is not valid: it has no
// URL.
type Broker struct {
	// URLs are the addresses of one broker or of the nodes of one cluster:
	// amqp://user:password@host:port/vhost, or amqps. At least one. Each
	// connection tries all of them in turn, in an order of its own that is drawn
	// anew for each round, so that many clients spread over the nodes.
	URLs []string
	// InOrder has connections try the URLs as they stand: all go to the first
	// that answers. Default: false.
	InOrder bool
	// TLS is used for amqps URLs. Nil: the system's roots, at least TLS 1.2,
	// and the host of the URL as the server's name. The configuration is cloned
	// once; what changes meanwhile comes from its hooks, which are asked at each
	// connection: GetClientCertificate for a certificate that is renewed,
	// VerifyConnection for other roots. Several connections may ask at once.
	TLS *tls.Config
	// Auth is the SASL mechanism. Default: AuthPlain.
	Auth Auth
	// Credentials, if set, is asked for user and password at each attempt to
	// connect, in place of what the URL says: for passwords that are changed and
	// tokens that expire while the program runs. It may be called by several
	// connections at once, and must return when its context ends, which is that
	// of the attempt (see DialTimeout). If it fails the attempt has failed, and
	// is made again after the usual pause; its error is logged, so it must not
	// contain what is secret. A connection that stands is not asked for newer
	// ones: RabbitMQ closes it if it minds, and the next one has them. A broker
	// that refuses what it gave is asked again, with what it gives then. Not with
	// AuthExternal.
	Credentials func(ctx context.Context) (user, password string, err error)
	// Heartbeat is the interval of heartbeats that is offered to the broker. A
	// dead peer is noticed after one and a half. Default: 10 s; 1 s to 10 min.
	Heartbeat time.Duration
	// Name is shown by RabbitMQ's tools for the connections. Default: the name
	// of the executable. At most 128 bytes.
	Name string
	// DialTimeout bounds one attempt to connect: DNS, TCP, TLS and the AMQP
	// handshake together. Default: 10 s; 10 ms to 2 min.
	DialTimeout time.Duration
	// Dial makes the TCP connection, or whatever stands for it; TLS is put on
	// top for amqps URLs. Nil: a net.Dialer. The context ends with
	// DialTimeout.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// WithDefaults returns a copy in which every zero field has its default. The
// URLs are copied and the TLS configuration is cloned.
func (b Broker) WithDefaults() Broker {
	b.URLs = append([]string(nil), b.URLs...)
	b.TLS = b.TLS.Clone()
	if b.Heartbeat == 0 {
		b.Heartbeat = 10 * time.Second
	}
	if b.DialTimeout == 0 {
		b.DialTimeout = 10 * time.Second
	}
	if b.Name == "" && len(os.Args) > 0 {
		b.Name = os.Args[0][strings.LastIndexByte(os.Args[0], os.PathSeparator)+1:]
		b.Name = b.Name[:min(len(b.Name), maxConnectionName)]
	}
	if b.Dial == nil {
		b.Dial = (&net.Dialer{}).DialContext
	}
	return b
}

const (
	maxConnectionName = 128
	maxVirtualHost    = 255 // AMQP's short string
)

// String names the hosts and nothing that is secret, so that settings can be
// printed and logged.
func (b Broker) String() string {
	hosts := make([]string, len(b.URLs))
	for i, raw := range b.URLs {
		hosts[i] = "?"
		if u, err := url.Parse(raw); err == nil {
			hosts[i] = u.Host
		}
	}
	return "broker " + strings.Join(hosts, ",")
}

// GoString is String, for %#v.
func (b Broker) GoString() string { return b.String() }

// LogValue implements slog.LogValuer.
func (b Broker) LogValue() slog.Value { return slog.StringValue(b.String()) }

// Validate returns an error that names the first field that is wrong. It never
// repeats a URL, because URLs carry passwords: it tells which one by its
// number.
func (b Broker) Validate() error {
	if len(b.URLs) == 0 {
		return errors.New("warren: Broker.URLs is empty: set at least one, like amqp://guest:guest@localhost:5672/")
	}
	for i, raw := range b.URLs {
		scheme, err := checkURL(raw)
		if err != nil {
			return fmt.Errorf("warren: Broker.URLs[%d]: %w", i, err)
		}
		if b.Auth == AuthExternal && scheme != "amqps" {
			return fmt.Errorf("warren: Broker.URLs[%d]: AuthExternal needs the scheme amqps", i)
		}
	}
	if b.Auth == AuthExternal && b.Credentials != nil {
		return errors.New("warren: Broker.Credentials is set; with AuthExternal the certificate says who connects")
	}
	if b.Auth > AuthExternal {
		return fmt.Errorf("warren: Broker.Auth is %d; it must be AuthPlain or AuthExternal", b.Auth)
	}
	if err := checkDuration("Broker.Heartbeat", b.Heartbeat, time.Second, 10*time.Minute); err != nil {
		return err
	}
	if err := checkDuration("Broker.DialTimeout", b.DialTimeout, 10*time.Millisecond, 2*time.Minute); err != nil {
		return err
	}
	if len(b.Name) > maxConnectionName {
		return fmt.Errorf("warren: Broker.Name has %d bytes; at most %d are allowed", len(b.Name), maxConnectionName)
	}
	return nil
}

func checkDuration(field string, d, least, most time.Duration) error {
	if d != 0 && (d < least || d > most) {
		return fmt.Errorf("warren: %s is %v; it must be from %v to %v", field, d, least, most)
	}
	return nil
}

// checkURL returns the scheme of raw. Its errors quote nothing of raw, not even
// what net/url says of it, since that repeats the whole.
func checkURL(raw string) (scheme string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("not a URL (a password with special characters must be percent-encoded)")
	}
	switch u.Scheme {
	case "amqp", "amqps":
	default:
		return "", errors.New("the scheme must be amqp or amqps")
	}
	if u.Hostname() == "" {
		return "", errors.New("the host is missing")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", errors.New("the port must be from 1 to 65535")
		}
	}
	if strings.ContainsRune(raw, ' ') {
		return "", errors.New("it contains a space; write it as %20")
	}
	path := strings.TrimPrefix(u.EscapedPath(), "/")
	if strings.Contains(path, "/") {
		return "", errors.New("the virtual host is one path segment; write a slash in it as %2F")
	}
	if strings.Contains(path, "@") {
		// Of amqp://user:123/45@host, the host would be user and the port 123.
		return "", errors.New("a slash in the password must be written as %2F, and an @ in the virtual host as %40")
	}
	if len(u.Path) > 1+maxVirtualHost {
		return "", fmt.Errorf("the virtual host has more than %d bytes", maxVirtualHost)
	}
	if u.RawQuery != "" {
		return "", errors.New("query parameters are not supported: set the fields of Broker instead")
	}
	if u.Fragment != "" {
		return "", errors.New("a URL of a broker has no fragment (percent-encode a # in the password)")
	}
	return u.Scheme, nil
}
