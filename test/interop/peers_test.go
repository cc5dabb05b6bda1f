package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren/test/patience"
)

// plainRequest is one call by a plain client.
type plainRequest struct {
	queue         string
	body          []byte
	correlationID string // a UUID if empty
	direct        bool   // direct reply-to in place of an exclusive queue
}

// id returns the call's correlation ID.
func (r *plainRequest) id() string {
	if r.correlationID == "" {
		r.correlationID = uuid.NewString()
	}
	return r.correlationID
}

// plainReply is what a plain client received.
type plainReply struct {
	Type          string         `json:"type"`
	ContentType   string         `json:"content_type"`
	CorrelationID string         `json:"correlation_id"`
	Headers       map[string]any `json:"headers"`
	Body          []byte         `json:"body"`
}

// plainClient is a library's way to make a call.
type plainClient struct {
	name string
	// begin makes the call and returns what waits for its reply.
	begin func(t *testing.T, url string, req plainRequest) (await func() plainReply)
}

func (c plainClient) call(t *testing.T, url string, req plainRequest) plainReply {
	t.Helper()
	return c.begin(t, url, req)()
}

// plainClients are those of the detailed libraries and of amqp091-go.
func plainClients() []plainClient { return clientsOf(detailed()) }

// everyPlainClient is in the order of everyPlainServerKind.
func everyPlainClient() []plainClient { return clientsOf(libraries()) }

func clientsOf(libraries []*library) []plainClient {
	clients := []plainClient{{amqp091Go.name, callByGo}}
	for _, l := range libraries {
		clients = append(clients, plainClient{l.name, l.call})
	}
	return clients
}

// call runs the library's client.
func (l *library) call(t *testing.T, url string, req plainRequest) func() plainReply {
	t.Helper()
	id := req.id()
	args := []string{"--url=" + url, "--queue=" + req.queue, "--body-file=" + bodyFile(t, req.body), "--correlation-id=" + id}
	if req.direct {
		args = append(args, "--direct-reply-to")
	}
	p := l.start(t, "client", args...)
	return func() plainReply {
		t.Helper()
		var reply plainReply
		out, err := p.wait(t)
		if err != nil {
			t.Fatalf("%s ended: %v", p.name, err)
		}
		if err := json.Unmarshal(out, &reply); err != nil {
			t.Fatalf("%s printed %q: %v", p.name, out, err)
		}
		if reply.CorrelationID != id {
			t.Errorf("%s got a reply to %q for its call %q", p.name, reply.CorrelationID, id)
		}
		if complaint := p.stderr.bytes(); len(complaint) > 0 {
			t.Errorf("%s complains: %s", p.name, complaint)
		}
		return reply
	}
}

// callByTutorial starts the client that has no options and no guard; await
// returns what it printed, a line per number.
func callByTutorial(t *testing.T, url, queue string, numbers ...string) (await func() string) {
	t.Helper()
	p := pika.start(t, "tutorial_client", append([]string{url, queue}, numbers...)...)
	return func() string {
		t.Helper()
		out, err := p.wait(t)
		if err != nil {
			t.Fatalf("tutorial_client.py ended: %v", err)
		}
		return string(out)
	}
}

// serverOptions say how a plain server behaves.
type serverOptions struct {
	queue     string
	queueType string // quorum if empty, classic, transient
	mode      string // fib if empty, echo, email
	replies   int    // how often each request is answered; 0 is once
	hold      string // never if empty; before-reply, before-ack: stops there with the first request
	confirm   bool   // replies are mandatory and confirmed before the request is acknowledged
}

// event is what a plain server reports: ready, request, returned, replied, acked.
type event struct {
	Event         string         `json:"event"`
	CorrelationID string         `json:"correlation_id"`
	ReplyTo       string         `json:"reply_to"`
	Type          string         `json:"type"`
	ContentType   string         `json:"content_type"`
	Expiration    string         `json:"expiration"`
	DeliveryMode  uint8          `json:"delivery_mode"`
	Headers       map[string]any `json:"headers"`
	Redelivered   bool           `json:"redelivered"`
	Size          int            `json:"size"`
	Reason        string         `json:"reason"` // of blocked
}

// plainServer is a running server that does not know Warren.
type plainServer struct {
	name   string
	events *output // one JSON object per line
	ended  <-chan struct{}
	// kill ends it without any goodbye; what it has not acknowledged comes back.
	kill func()
}

// await returns the nth event of a kind, counted from 1, once it has happened.
func (s *plainServer) await(t *testing.T, kind string, nth int) event {
	t.Helper()
	late := time.After(patience.Soon)
	for {
		log, more := s.events.read()
		if found := eventsOf(t, log, kind); len(found) >= nth {
			return found[nth-1]
		}
		select {
		case <-more:
		case <-s.ended:
			// The last lines may have come after the read.
			log, _ := s.events.read()
			if found := eventsOf(t, log, kind); len(found) >= nth {
				return found[nth-1]
			}
			t.Fatalf("%s ended before event %q number %d; it reported:\n%s", s.name, kind, nth, log)
		case <-late:
			t.Fatalf("%s: no event %q number %d after %v; it reported:\n%s", s.name, kind, nth, patience.Soon, log)
		}
	}
}

func eventsOf(t *testing.T, log []byte, kind string) []event {
	t.Helper()
	return slices.DeleteFunc(allEvents(t, log), func(e event) bool { return e.Event != kind })
}

func allEvents(t *testing.T, log []byte) []event {
	t.Helper()
	var found []event
	for {
		line, rest, whole := bytes.Cut(log, []byte{'\n'})
		if !whole {
			return found
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("not an event: %q: %v", line, err)
		}
		found = append(found, e)
		log = rest
	}
}

// plainServerKind is a library's way to serve.
type plainServerKind struct {
	name  string
	start func(t *testing.T, url string, opts serverOptions) *plainServer
}

// plainServerKinds are those of the detailed libraries and of amqp091-go. They are
// started by their start function, which returns once they consume.
func plainServerKinds() []plainServerKind { return serversOf(detailed()) }

func everyPlainServerKind() []plainServerKind { return serversOf(libraries()) }

func serversOf(libraries []*library) []plainServerKind {
	kinds := []plainServerKind{{amqp091Go.name, serveByGo}}
	for _, l := range libraries {
		kinds = append(kinds, plainServerKind{l.name, l.serve})
	}
	return kinds
}

// serve runs the library's server.
func (l *library) serve(t *testing.T, url string, opts serverOptions) *plainServer {
	t.Helper()
	return l.report(t, "server", opts.flags(url)...)
}

// startTutorial starts the server that has no options and no guard.
func startTutorial(t *testing.T, url, queue string) *plainServer {
	t.Helper()
	return pika.report(t, "tutorial_server", url, queue)
}

// report runs a program of the library's that reports events, the first of them
// ready.
func (l *library) report(t *testing.T, program string, args ...string) *plainServer {
	t.Helper()
	p := l.start(t, program, args...)
	s := &plainServer{name: p.name, events: &p.stdout, ended: p.done, kill: p.kill}
	s.await(t, "ready", 1)
	return s
}

func (o serverOptions) flags(url string) []string {
	o = o.withDefaults()
	flags := []string{
		"--url=" + url, "--queue=" + o.queue, "--queue-type=" + o.queueType, "--mode=" + o.mode,
		"--replies=" + strconv.Itoa(o.replies),
	}
	if o.hold != "" {
		flags = append(flags, "--hold="+o.hold)
	}
	if o.confirm {
		flags = append(flags, "--confirm")
	}
	return flags
}

func (o serverOptions) withDefaults() serverOptions {
	if o.queueType == "" {
		o.queueType = "quorum"
	}
	if o.mode == "" {
		o.mode = "fib"
	}
	if o.replies == 0 {
		o.replies = 1
	}
	return o
}

// bodyFile returns a file that holds a request's body.
func bodyFile(t *testing.T, body []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(name, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
