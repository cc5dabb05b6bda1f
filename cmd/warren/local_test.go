package main

import (
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/warren-rpc/warren/test/patience"
)

// started starts the tool without a URL and returns what it says once it is
// ready.
func started(t *testing.T, args ...string) (*tool, map[string]any) {
	t.Helper()
	r := command("", append(args, "--json")...).start(t)
	patience.Eventually(t, "it is ready", func() bool {
		select {
		case <-r.done:
			t.Fatalf("it has ended with %d: %s", r.code, r.stderr.String())
		default:
		}
		return strings.Contains(r.stdout.String(), "\n")
	})
	return r, r.object(t)
}

func TestBrokerServesOtherProcesses(t *testing.T) {
	t.Parallel()
	b, object := started(t, "broker", "--listen", "127.0.0.1:0")
	wantKeys(t, object, "ready", "url")
	at, _ := object["url"].(string)
	if u, err := url.Parse(at); err != nil || u.Scheme != "amqp" || u.Hostname() != "127.0.0.1" || u.Port() == "0" {
		t.Fatalf("the URL is %q", at)
	}
	patience.Eventually(t, "it says what it is for, and what else there is", func() bool {
		told := b.stderr.String()
		return strings.Contains(told, "for development and tests") && strings.Contains(told, "WARREN_URL=amqp://")
	})
	server := serveSamples(t, at)
	for method, want := range map[string]string{"rpc_queue": "832040", "sample.echo": "30"} {
		if got := invoke(t, at, "call", method, "30").want(t, 0).stdout.String(); strings.TrimSpace(got) != want {
			t.Errorf("%s answers %q", method, got)
		}
	}
	invoke(t, at, "call", "nobody.serves.it", "1").want(t, exitNoServer)
	send(t, server, syscall.SIGTERM)
	server.wait(t).want(t, 0)
	send(t, b, syscall.SIGTERM)
	b.wait(t).want(t, 0)
	invoke(t, at, "call", "--timeout", "2s", "rpc_queue", "1").want(t, exitBroker)
}

func TestServeWithoutAURLBringsABroker(t *testing.T) {
	t.Parallel()
	s, object := started(t, "serve")
	wantKeys(t, object, "ready", "methods", "url")
	patience.Eventually(t, "it says that the broker is its own, and what else there is", func() bool {
		told := s.stderr.String()
		return strings.Contains(told, "no broker given") && strings.Contains(told, "WARREN_URL=amqp://")
	})
	at, _ := object["url"].(string)
	if got := invoke(t, at, "call", "users.email", "1").want(t, 0).stdout.String(); !strings.Contains(got, "@") {
		t.Errorf("it answers %q", got)
	}
	// A second one finds the usual port taken, by the first or by another program,
	// and takes one of its own.
	_, second := started(t, "serve", "--quiet")
	if second["url"] == at {
		t.Errorf("both are at %s", at)
	}
	send(t, s, syscall.SIGTERM)
	s.wait(t).want(t, 0)
}

func TestBrokerFailsOnPurposeAndShowsIt(t *testing.T) {
	t.Parallel()
	b, object := started(t, "broker", "--listen", "127.0.0.1:0", "--trace",
		"--fault", "basic.publish key=sample.echo times=2: delay 1ms, nack", "--fault", "basic.publish key=sample.echo nth=3: return")
	at, _ := object["url"].(string)
	serveSamples(t, at)
	// Twice nacked, then returned as if there were no queue.
	r := invoke(t, at, "call", "--json", "--idempotent", "sample.echo", "hello").want(t, exitNoServer)
	if object := r.object(t); object["reason"] != "no_route" || object["attempts"] != 3.0 {
		t.Errorf("the call ended with %v", object)
	}
	for _, want := range []string{"connection.open", "basic.consume", "basic.publish", "basic.nack", "basic.return"} {
		patience.Eventually(t, want+" is in the trace", func() bool { return strings.Contains(b.stderr.String(), want) })
	}
	line := invoke(t, "", "broker", "--fault", "basic.publish: explode").want(t, exitUsage).wantLine(t)
	if !strings.Contains(line, "--fault") || !strings.Contains(line, "explode") {
		t.Errorf("standard error: %q", line)
	}
}

func TestBrokerSaysThatItsAddressIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	r := invoke(t, "", "broker", "--listen", taken.Addr().String()).want(t, exitUsage)
	if line := r.wantLine(t); !strings.Contains(line, "--listen") || !strings.Contains(line, "in use") {
		t.Errorf("standard error: %q", line)
	}
	invoke(t, "", "broker", "--listen", "nonsense").want(t, exitUsage).wantLine(t)
	invoke(t, "", "broker", "argument").want(t, exitUsage).wantLine(t)
}
