package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
)

const secret = "S3CR3T"

// settings are those of a broker whose connections are made by dialFunc.
func settings(dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)) *warren.Broker {
	b := warren.Broker{URLs: []string{"amqp://u"}, Name: "test", DialTimeout: 10 * time.Second, Dial: dialFunc}.WithDefaults()
	return &b
}

// Whatever the peer does or leaves undone, a dial ends with its timeout, closes
// its connection, and tells the address and never the password.
func TestDialEndsInTime(t *testing.T) {
	t.Parallel()
	silentPeer := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for name, test := range map[string]struct {
		scheme string
		peer   func(conn net.Conn)
		took   time.Duration
	}{
		"silent":           {"amqp", silentPeer, 10 * time.Second},
		"silent under TLS": {"amqps", silentPeer, 10 * time.Second},
		"reads nothing":    {"amqp", func(net.Conn) {}, 10 * time.Second},
		"closes at once":   {"amqp", func(conn net.Conn) { conn.Close() }, 0},
		"speaks another way": {"amqp", func(conn net.Conn) {
			go silentPeer(conn)
			_, _ = conn.Write([]byte("AMQP\x00\x01\x00\x00"))
			conn.Close()
		}, 0},
		"sends a huge frame": {"amqp", func(conn net.Conn) {
			go silentPeer(conn)
			_, _ = conn.Write([]byte{1, 0, 0, 0xff, 0xff, 0xff, 0xff})
			time.Sleep(time.Second)
			conn.Close()
		}, time.Second},
		"trickles": {"amqp", func(conn net.Conn) {
			go silentPeer(conn)
			for {
				if _, err := conn.Write([]byte{0}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			var peer sync.WaitGroup
			peer.Go(func() { test.peer(there) })
			defer peer.Wait()
			defer there.Close()
			s := settings(func(_ context.Context, _, addr string) (net.Conn, error) {
				if addr != "host:4711" {
					t.Errorf("dialled %q", addr)
				}
				return here, nil
			})
			began := time.Now()
			_, err := dial(t.Context(), s, test.scheme+"://user:"+secret+"@host:4711/v", "test")
			if took := time.Since(began); err == nil || took > test.took {
				t.Errorf("a peer that %s: %v after %v; want an error within %v", name, err, took, test.took)
			}
			checkTold(t, err)
			if _, err := here.Read(make([]byte, 1)); err == nil {
				t.Errorf("a peer that %s: the connection is left open", name)
			}
		})
	}
}

// checkTold demands that an error tells where, and nothing of the credentials.
func checkTold(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	text := err.Error()
	if strings.Contains(text, secret) || !strings.HasPrefix(text, "warren: connect to host:4711: ") {
		t.Errorf("the error says %q", text)
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		s := settings(func(ctx context.Context, _, _ string) (net.Conn, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != 10*time.Second {
				t.Errorf("the dial function is given until %v", deadline)
			}
			<-ctx.Done()
			return nil, fmt.Errorf("gave up: %w", ctx.Err())
		})
		began := time.Now()
		_, err := dial(ctx, s, "amqp://user:"+secret+"@host:4711", "test")
		if !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		checkTold(t, err)
	})
}

func TestDialTellsWhyItFailed(t *testing.T) {
	t.Parallel()
	s := settings(func(context.Context, string, string) (net.Conn, error) { return nil, errBroken })
	if _, err := dial(t.Context(), s, "amqp://user:"+secret+"@host:4711", "test"); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	} else {
		checkTold(t, err)
	}
	if _, err := dial(t.Context(), s, "amqp://user:"+secret+"%zz@host", "test"); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a URL that is none: %v", err)
	}
}

func TestTLSIsTheUsersWithoutTouchingIt(t *testing.T) {
	t.Parallel()
	if c := tlsConfig(nil, "host"); c.ServerName != "host" || c.MinVersion != tls.VersionTLS12 || c.InsecureSkipVerify {
		t.Errorf("the default is %+v", c)
	}
	mine := &tls.Config{MinVersion: tls.VersionTLS13}
	if c := tlsConfig(mine, "host"); c.ServerName != "host" || c.MinVersion != tls.VersionTLS13 || mine.ServerName != "" {
		t.Errorf("%q became %q", mine.ServerName, c.ServerName)
	}
	if c := tlsConfig(&tls.Config{ServerName: "other", MinVersion: tls.VersionTLS12}, "host"); c.ServerName != "other" {
		t.Errorf("the server's name is %q", c.ServerName)
	}
}

func TestAuthenticationIsWhatTheSettingsSay(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"amqp://h":               "PLAIN \x00guest\x00guest",
		"amqp://user:p%40%2F@h":  "PLAIN \x00user\x00p@/",
		"amqp://user@h":          "PLAIN \x00user\x00guest",
		"amqps://user:unused@h/": "PLAIN \x00user\x00unused",
	} {
		uri, err := amqp.ParseURI(raw)
		if err != nil {
			t.Fatal(err)
		}
		says := func(b warren.Broker) string {
			a, err := authentication(t.Context(), &b, uri)
			if err != nil {
				t.Fatal(err)
			}
			return a.Mechanism() + " " + a.Response()
		}
		if got := says(warren.Broker{}); got != want {
			t.Errorf("%s: %q", raw, got)
		}
		if got := says(warren.Broker{Auth: warren.AuthExternal}); !strings.HasPrefix(got, "EXTERNAL") || strings.Contains(got, "user") {
			t.Errorf("%s: %q", raw, got)
		}
		asked := func(context.Context) (string, string, error) { return "a", "b", nil }
		if got := says(warren.Broker{Credentials: asked}); got != "PLAIN \x00a\x00b" {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

// All URLs are tried in each round, and without InOrder no URL is everybody's first.
func TestURLsAreTriedInTurnAndSpread(t *testing.T) {
	t.Parallel()
	urls := []string{"a", "b", "c"}
	firsts := map[string]int{}
	for range 300 {
		order := rotation{urls: slices.Clone(urls), shuffled: true}
		for round := range 3 {
			seen := []string{order.next(), order.next(), order.next()}
			if round == 0 {
				firsts[seen[0]]++
			}
			if slices.Sort(seen); !slices.Equal(seen, urls) {
				t.Fatalf("a round of %v", seen)
			}
		}
	}
	for _, url := range urls {
		if firsts[url] < 50 {
			t.Errorf("%v of 300 begin with each", firsts)
		}
	}
	ordered := rotation{urls: urls}
	for i := range 7 {
		if got := ordered.next(); got != urls[i%3] {
			t.Errorf("the %d. in order is %s", i, got)
		}
	}
}

func TestPermanentErrorsAreTheBrokersRefusals(t *testing.T) {
	t.Parallel()
	for code, permanent := range map[int]bool{
		amqp.AccessRefused: true, amqp.NotAllowed: true, amqp.PreconditionFailed: true, amqp.ResourceLocked: false,
		amqp.NotFound: false, amqp.InvalidPath: true,
		amqp.ConnectionForced: false, amqp.ChannelError: false, amqp.FrameError: false, amqp.InternalError: false,
		amqp.ResourceError: false, amqp.ContentTooLarge: false,
	} {
		err := fmt.Errorf("declare: %w", &amqp.Error{Code: code})
		if IsPermanent(err) != permanent {
			t.Errorf("%d is permanent: %v", code, !permanent)
		}
		if IsNotFound(err) != (code == amqp.NotFound) || IsRefused(err) != (code == amqp.AccessRefused) {
			t.Errorf("%d: not found %v, refused %v", code, IsNotFound(err), IsRefused(err))
		}
	}
	for reason, code := range map[string]int{
		"NOT_FOUND - no queue 'q' in vhost '/'": amqp.NotFound, "NOT_ALLOWED - vhost v not found": amqp.NotAllowed,
	} {
		if !IsPermanent(&amqp.Error{Code: code, Reason: reason}) {
			t.Errorf("%s is not permanent", reason)
		}
	}
	for reason, code := range map[string]int{
		"NOT_FOUND - home node 'a@b' of durable queue 'q' in vhost '/' is down or inaccessible":   amqp.NotFound,
		"ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use":                                amqp.AccessRefused,
		"NOT_ALLOWED - access to vhost '/' refused for user 'u': connection limit (1) is reached": amqp.NotAllowed,
	} {
		if IsPermanent(&amqp.Error{Code: code, Reason: reason}) {
			t.Errorf("%s is permanent", reason)
		}
	}
	for _, err := range []error{nil, errBroken, context.DeadlineExceeded, io.EOF} {
		if IsPermanent(err) {
			t.Errorf("%v is permanent", err)
		}
	}
}

// FuzzValidURLsCanBeDialled: what Broker.Validate lets through, the library
// reads to the same effect. Otherwise a client would try a wrong URL for ever.
func FuzzValidURLsCanBeDialled(f *testing.F) {
	for _, seed := range []string{
		"amqp://localhost", "amqps://u:p@h:5671/v", "amqp://[::1]:5672/%2F", "amqp://h/a b", "amqp://h/%20", "amqp://u:1/2@h",
		"amqp://h/" + strings.Repeat("v", 256), "AMQP://h", "amqp://h:", "amqp://h/?", "amqp://h/#", "amqp://%41/", "amqp://u:@h",
		"amqp://[fe80::1%25eth0]/", "amqp://h:007/", "amqp://:p@h", "amqp://h//", "amqp://h/%00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if (warren.Broker{URLs: []string{raw}}).Validate() != nil {
			return
		}
		uri, err := amqp.ParseURI(raw)
		if err != nil {
			t.Fatalf("%q is valid, and the library says %v", raw, err)
		}
		u, err := url.Parse(raw)
		if err != nil || uri.Host != u.Hostname() || uri.Host == "" || uri.Port < 1 || uri.Port > 65535 || len(uri.Vhost) > 255 {
			t.Fatalf("%q is read as %+v", raw, uri)
		}
		if u.User == nil && (uri.Username != "guest" || uri.Password != "guest") || u.User != nil && uri.Username != u.User.Username() {
			t.Fatalf("%q is read as the user %q", raw, uri.Username)
		}
	})
}
