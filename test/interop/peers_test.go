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

func plainClients() []plainClient {
	return []plainClient{
		{"pika", func(t *testing.T, url string, req plainRequest) func() plainReply {
			t.Helper()
			return callByScript(t, pythonWithPika, "pika/client.py", url, req)
		}},
		{"amqplib", func(t *testing.T, url string, req plainRequest) func() plainReply {
			t.Helper()
			return callByScript(t, nodeWithAmqplib, "amqplib/client.js", url, req)
		}},
		{"amqp091-go", callByGo},
	}
}

func callByScript(t *testing.T, find func() (string, error), script, url string, req plainRequest) func() plainReply {
	t.Helper()
	args := []string{"--json", "--url=" + url, "--queue=" + req.queue}
	if len(req.body) <= 1024 {
		args = append(args, "--body="+string(req.body))
	} else {
		file := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(file, req.body, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--body-file="+file)
	}
	id := req.id()
	args = append(args, "--correlation-id="+id)
	if req.direct {
		args = append(args, "--direct-reply-to")
	}
	p := startScript(t, find, script, args...)
	return func() plainReply {
		t.Helper()
		var reply plainReply
		out, err := p.wait(t)
		if err != nil {
			t.Fatalf("%s ended: %v", script, err)
		}
		if err := json.Unmarshal(out, &reply); err != nil {
			t.Fatalf("%s printed %q: %v", script, out, err)
		}
		if reply.CorrelationID != id {
			t.Errorf("%s got a reply to %q for its call %q", script, reply.CorrelationID, id)
		}
		if complaint := p.stderr.bytes(); len(complaint) > 0 {
			t.Errorf("%s complains: %s", script, complaint)
		}
		return reply
	}
}

// callByTutorial starts the client that has no options and no guard; await
// returns what it printed, a line per number.
func callByTutorial(t *testing.T, url, queue string, numbers ...string) (await func() string) {
	t.Helper()
	p := startScript(t, pythonWithPika, "pika/tutorial_client.py", append([]string{url, queue}, numbers...)...)
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
	mode      string // fib if empty, echo
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
	late := time.After(patience)
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
			t.Fatalf("%s: no event %q number %d after %v; it reported:\n%s", s.name, kind, nth, patience, log)
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

// plainServerKinds are started by their start function, which returns once they
// consume.
func plainServerKinds() []plainServerKind {
	return []plainServerKind{
		{"pika", startPika},
		{"amqplib", startAmqplib},
		{"amqp091-go", serveByGo},
	}
}

func startPika(t *testing.T, url string, opts serverOptions) *plainServer {
	t.Helper()
	return serveByScript(t, pythonWithPika, "pika/server.py", opts.flags(url)...)
}

func startAmqplib(t *testing.T, url string, opts serverOptions) *plainServer {
	t.Helper()
	return serveByScript(t, nodeWithAmqplib, "amqplib/server.js", opts.flags(url)...)
}

// startTutorial starts the server that has no options and no guard.
func startTutorial(t *testing.T, url, queue string) *plainServer {
	t.Helper()
	return serveByScript(t, pythonWithPika, "pika/tutorial_server.py", url, queue)
}

func serveByScript(t *testing.T, find func() (string, error), script string, args ...string) *plainServer {
	t.Helper()
	p := startScript(t, find, script, args...)
	s := &plainServer{name: script, events: &p.stdout, ended: p.done, kill: p.kill}
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
