package frames

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

// peer is the broker's end of a connection, which a test speaks for once the channel is open.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *codec.Reader
}

// side is the library on a Conn, with a channel and what its handler is told.
type side struct {
	frames *Conn
	conn   *amqp.Connection
	ch     *Channel
	amqp   *amqp.Channel
	told   *told
}

// open opens the library on a Conn whose other end is a peer, with frames of up to frameMax octets, and a channel. With
// a handler it is told of the rest.
func open(t testing.TB, frameMax uint32) (*side, *peer) {
	t.Helper()
	here, there := socketPair(t)
	p := &peer{t, there, codec.NewReader(there)}
	t.Cleanup(func() { there.Close() })
	shaken := make(chan struct{})
	go func() {
		defer close(shaken)
		p.shake(frameMax)
	}()
	s := &side{frames: New(here), told: newTold()}
	var err error
	s.conn, err = amqp.Open(s.frames, amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{}}, FrameSize: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		there.Close()
		_ = s.conn.Close()
	})
	s.openChannel(t)
	<-shaken
	return s, p
}

func (s *side) openChannel(t testing.TB) {
	t.Helper()
	var err error
	s.ch, err = s.frames.Channel(func() (err error) {
		s.amqp, err = s.conn.Channel()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shake answers what a connection and its first channel open with.
func (p *peer) shake(frameMax uint32) {
	if _, err := p.in.ProtocolHeader(); err != nil {
		return
	}
	p.in.Limit(frameMax)
	p.say(0, &codec.ConnectionStart{VersionMinor: 9, ServerProperties: everyValue(), Mechanisms: "PLAIN", Locales: "en_US"})
	await[*codec.ConnectionStartOk](p)
	p.say(0, &codec.ConnectionTune{ChannelMax: 1, FrameMax: frameMax}) // so that numbers are used again
	await[*codec.ConnectionTuneOk](p)
	await[*codec.ConnectionOpen](p)
	p.say(0, &codec.ConnectionOpenOk{})
	await[*codec.ChannelOpen](p)
	p.say(1, &codec.ChannelOpenOk{})
}

// say sends methods, and content where one is followed by it.
func (p *peer) say(channel uint16, m codec.Method) { p.send(method(channel, m)) }

func (p *peer) send(octets []byte) {
	_, _ = p.conn.Write(octets)
}

// await returns the next method, which must be of a type. What is read is the test's: heartbeats are off.
func await[M codec.Method](p *peer) M {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(patience.Soon))
	frame, err := p.in.ReadFrame()
	if err != nil {
		p.t.Errorf("no %T: %v", *new(M), err)
		return *new(M)
	}
	m, err := codec.DecodeMethod(frame.Payload)
	wanted, ok := m.(M)
	if frame.Type != codec.FrameMethod || err != nil || !ok {
		p.t.Errorf("%v frame with %#v, %v; not a %T", frame.Type, m, err, *new(M))
	}
	return wanted
}

// told keeps what a handler is told.
type told struct {
	mu     sync.Mutex
	events []string
	came   chan struct{}
	ended  chan struct{}

	deliveries []*Delivery
	returns    []*Return
	err        error
}

func newTold() *told { return &told{came: make(chan struct{}, 1), ended: make(chan struct{})} }

func (h *told) note(format string, args ...any) {
	h.events = append(h.events, fmt.Sprintf(format, args...))
	select {
	case h.came <- struct{}{}:
	default:
	}
}

func (h *told) Delivered(d *Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deliveries = append(h.deliveries, d)
	h.note("delivered %d %s", d.DeliveryTag, d.Body)
}

func (h *told) Returned(r *Return) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.returns = append(h.returns, r)
	h.note("returned %s", r.CorrelationId)
}

func (h *told) Confirmed(tag uint64, multiple, ack bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("confirmed %d %v %v", tag, multiple, ack)
}

func (h *told) Canceled(consumer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("canceled %s", consumer)
}

func (h *told) Ended(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
	h.note("ended %v", err)
	close(h.ended) // twice is a panic
}

// until waits for n events and returns all that there are.
func (h *told) until(t testing.TB, n int) []string {
	t.Helper()
	timeout := time.After(patience.Soon)
	for {
		h.mu.Lock()
		events := h.events
		h.mu.Unlock()
		if len(events) >= n {
			return events
		}
		select {
		case <-h.came:
		case <-timeout:
			t.Fatalf("%d events after %v: %q", len(events), patience.Soon, events)
		}
	}
}

func (h *told) end(t testing.TB) error {
	t.Helper()
	select {
	case <-h.ended:
	case <-time.After(patience.Soon):
		t.Fatal("the handler was not told of the end")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func socketPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return here, there
}
