package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/internal/amqp/frames"
	"github.com/warren-rpc/warren/test/patience"
)

// framesSession is a short session on frames through a relay: publishes on one channel, of which some have no queue, and
// a consumer on another that acknowledges what it gets.
type framesSession struct {
	t     testing.TB
	rng   *rand.Rand
	admin *amqp.Channel // on a connection of its own
	queue string

	relay      *relay
	conn       *amqp.Connection
	frames     *frames.Conn
	publishing atomic.Pointer[amqp.Channel]
	consuming  atomic.Pointer[amqp.Channel]
	canceled   atomic.Bool // by this side
	publisher  *framesHandler
	consumer   *framesHandler

	publishes []framesMessage
	written   int          // how many of them have been written
	refused   map[int]bool // of which nothing was
	acked     []uint64
}

type framesMessage struct {
	id, key string
	body    []byte
}

// framesHandler keeps what it is told.
type framesHandler struct {
	mu         sync.Mutex
	events     []string
	ends       int
	err        error
	changed    chan struct{} // one token
	deliveries []*frames.Delivery
}

func newFramesHandler() *framesHandler { return &framesHandler{changed: make(chan struct{}, 1)} }

func (h *framesHandler) note(format string, args ...any) {
	if h.ends > 0 {
		format = "after the end: " + format
	}
	h.events = append(h.events, fmt.Sprintf(format, args...))
	h.wake()
}

func (h *framesHandler) wake() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *framesHandler) Delivered(d *frames.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deliveries = append(h.deliveries, d)
	h.note("delivered %d %s %s", d.DeliveryTag, d.MessageId, summary(d.Body))
}

func (h *framesHandler) Returned(r *frames.Return) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("returned %s %s", r.RoutingKey, r.MessageId)
}

func (h *framesHandler) Confirmed(tag uint64, multiple, ack bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("confirmed %d %v %v", tag, multiple, ack)
}

func (h *framesHandler) Canceled(consumer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("canceled %s", consumer)
}

func (h *framesHandler) Ended(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends++
	h.err = err
	h.wake()
}

func (h *framesHandler) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ends > 0
}

// summary is what a body is known by.
func summary(body []byte) string {
	same := len(body) > 0 && bytes.Equal(body, bytes.Repeat(body[:1], len(body)))
	return fmt.Sprintf("%d %.1s %v", len(body), body, same)
}

// cancel ends the consumer.
func (s *framesSession) cancel() {
	if ch := s.consuming.Load(); ch != nil {
		_ = ch.Cancel("tag", false)
		s.canceled.Store(true)
		s.consumer.wake()
	}
}

// newFramesSession plans a session.
func newFramesSession(t testing.TB, admin *amqp.Channel, queue string, seed uint64) *framesSession {
	t.Helper()
	s := &framesSession{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), admin: admin, queue: queue, refused: map[int]bool{},
		publisher: newFramesHandler(), consumer: newFramesHandler(),
	}
	for i := range 8 {
		m := framesMessage{id: fmt.Sprint("m", i), key: queue}
		if s.rng.IntN(3) == 0 {
			m.key = "nowhere"
		}
		sizes := []int{0, 10, 1000, 20_000, 200_000}
		m.body = bytes.Repeat([]byte{byte('a' + i)}, sizes[s.rng.IntN(len(sizes))])
		s.publishes = append(s.publishes, m)
	}
	return s
}

// open connects through a relay, and opens both channels. It fails if the connection is ended on the way.
func (s *framesSession) open(rawURL string, prepare func(*relay)) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		s.t.Fatal(err)
	}
	uri, err := amqp.ParseURI(rawURL)
	if err != nil {
		s.t.Fatal(err)
	}
	relay, end := newRelay(s.t, u.Host)
	s.relay = relay
	prepare(relay)
	s.frames = frames.New(end)
	s.conn, err = amqp.Open(s.frames, amqp.Config{
		SASL: []amqp.Authentication{uri.PlainAuth()}, Vhost: uri.Vhost, FrameSize: 16 << 10, Heartbeat: time.Minute, Locale: "en_US",
	})
	if err != nil {
		return err
	}
	return errors.Join(s.openPublishing(), s.openConsuming())
}

func (s *framesSession) openPublishing() error {
	ch, err := s.frames.Channel(func() error {
		opened, err := s.conn.Channel()
		s.publishing.Store(opened)
		return err
	})
	if err != nil {
		s.publisher.Ended(err) // nothing will come
		return err
	}
	ch.Handle(s.publisher)
	if err := s.publishing.Load().Confirm(false); err != nil {
		return err
	}
	return s.publish(ch)
}

// publish writes what is to be published, in batches.
func (s *framesSession) publish(ch *frames.Channel) error {
	b := ch.NewBatch()
	for s.written < len(s.publishes) {
		first := s.written
		time.Sleep(time.Duration(s.rng.IntN(500)) * time.Microsecond) // so that whatever happens, happens in between
		s.written = min(len(s.publishes), first+1+s.rng.IntN(3))
		for _, m := range s.publishes[first:s.written] {
			msg := &amqp.Publishing{
				MessageId: m.id, Headers: amqp.Table{"id": m.id, "n": int64(first)}, Body: m.body, DeliveryMode: uint8(s.rng.IntN(3)),
			}
			if err := b.AppendPublish(m.key, true, msg); err != nil {
				return err
			}
		}
		if err := ch.Write(b); errors.Is(err, frames.ErrClosed) {
			for i := first; i < s.written; i++ {
				s.refused[i] = true
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (s *framesSession) openConsuming() error {
	ch, err := s.frames.Channel(func() error {
		opened, err := s.conn.Channel()
		s.consuming.Store(opened)
		return err
	})
	if err != nil {
		s.consumer.Ended(err)
		return err
	}
	ch.Handle(s.consumer)
	if err := s.consuming.Load().Qos(1+s.rng.IntN(4), 0, false); err != nil {
		return err
	}
	_, err = s.consuming.Load().Consume(s.queue, "tag", false, false, false, false, nil)
	if err != nil {
		return err
	}
	return s.acknowledge(ch)
}

// acknowledge acknowledges what is delivered until all is settled, or something ends.
func (s *framesSession) acknowledge(ch *frames.Channel) error {
	b, done := ch.NewBatch(), 0
	timeout := time.After(patience.Soon)
	for !s.settled() {
		s.consumer.mu.Lock()
		next := s.consumer.deliveries[done:]
		s.consumer.mu.Unlock()
		for _, d := range next {
			b.AppendAck(d.DeliveryTag, false)
			s.acked = append(s.acked, d.DeliveryTag)
		}
		done += len(next)
		if err := ch.Write(b); err != nil {
			s.acked = s.acked[:len(s.acked)-len(next)]
			return err
		}
		if len(next) > 0 {
			continue
		}
		select {
		case <-s.consumer.changed:
		case <-s.publisher.changed:
		case <-timeout:
			s.t.Errorf("not settled after %v: %q, %q", patience.Soon, s.publisher.events, s.consumer.events)
			return nil
		}
	}
	return nil
}

// settled reports whether nothing more is to come.
func (s *framesSession) settled() bool {
	if s.publisher.ended() || s.consumer.ended() {
		return true
	}
	s.publisher.mu.Lock()
	open := map[int]bool{}
	for i := range s.publishes {
		open[i+1] = true
	}
	for _, event := range s.publisher.events {
		var tag int
		var multiple, ack bool
		if _, err := fmt.Sscanf(event, "confirmed %d %t %t", &tag, &multiple, &ack); err == nil {
			for i := range open {
				if i == tag || multiple && i < tag {
					delete(open, i)
				}
			}
		}
	}
	s.publisher.mu.Unlock()
	s.consumer.mu.Lock()
	defer s.consumer.mu.Unlock()
	canceled := s.canceled.Load() || slices.Contains(s.consumer.events, "canceled tag")
	return len(open) == 0 && (canceled || len(s.acked) == s.routable())
}

func (s *framesSession) routable() int {
	n := 0
	for _, m := range s.publishes {
		if m.key == s.queue {
			n++
		}
	}
	return n
}

// close ends the session as one does, as far as it has not ended, and waits for the ends.
func (s *framesSession) close() {
	if s.conn != nil {
		if ch := s.publishing.Load(); ch != nil && s.rng.IntN(2) == 0 {
			_ = ch.Close()
		}
		if ch := s.consuming.Load(); ch != nil && s.rng.IntN(2) == 0 {
			_ = ch.Cancel("tag", false)
		}
		_ = s.conn.Close()
	}
	_ = s.frames.Close()
	for name, h := range map[string]*framesHandler{"publisher": s.publisher, "consumer": s.consumer} {
		if !s.handles(h) {
			continue
		}
		timeout := time.After(patience.Soon)
		for !h.ended() {
			select {
			case <-h.changed:
			case <-timeout:
				s.t.Fatalf("the %s was not told of the end: %q", name, h.events)
			}
		}
	}
	s.relay.close()
}

// handles reports whether a handler has a channel.
func (s *framesSession) handles(h *framesHandler) bool {
	if h == s.publisher {
		return s.publishing.Load() != nil
	}
	return s.consuming.Load() != nil
}

// check holds what the handlers were told to what the relay has passed on, of which some may not have been read.
func (s *framesSession) check(unread bool) {
	t, r := s.t, s.relay
	for number, h := range map[uint16]*framesHandler{1: s.publisher, 2: s.consumer} {
		want := toldBy(r.got, number)
		if unread {
			want = want[:min(len(want), len(h.events))]
		}
		if !slices.Equal(h.events, want) {
			t.Errorf("on channel %d the handler was told\n%q\nwhere the broker said\n%q", number, h.events, want)
		}
	}
	for number, h := range map[uint16]*framesHandler{1: s.publisher, 2: s.consumer} {
		if h.ends > 1 || h.ends == 0 && s.handles(h) {
			t.Errorf("channel %d has ended %d times", number, h.ends)
		}
		for i := range r.got {
			e := new(amqp.Error)
			closed, is := r.got[i].method.(*codec.ChannelClose)
			if is && r.got[i].channel == number && r.got[i].passed && (!errors.As(h.err, &e) || e.Code != int(closed.ReplyCode)) {
				t.Errorf("the broker has closed channel %d with %d, and the handler was told %v", number, closed.ReplyCode, h.err)
			}
		}
	}
	s.checkPublished()
	s.checkOrder()
}

// toldBy is what a handler of the channel is to be told.
func toldBy(got []relayed, channel uint16) []string {
	var events []string
	for i := range got {
		m := &got[i]
		if m.channel != channel && m.channel != 0 || !m.passed {
			continue
		}
		switch method := m.method.(type) {
		case *codec.ChannelClose, *codec.ConnectionClose:
			return events // the rest of a message that this has cut short may follow
		case *codec.BasicDeliver:
			events = append(events, fmt.Sprintf("delivered %d %s %s", method.DeliveryTag, m.header.Properties.MessageID, summary(m.body)))
		case *codec.BasicReturn:
			events = append(events, fmt.Sprintf("returned %s %s", method.RoutingKey, m.header.Properties.MessageID))
		case *codec.BasicAck:
			events = append(events, fmt.Sprintf("confirmed %d %v true", method.DeliveryTag, method.Multiple))
		case *codec.BasicNack:
			events = append(events, fmt.Sprintf("confirmed %d %v false", method.DeliveryTag, method.Multiple))
		case *codec.BasicCancel:
			events = append(events, "canceled "+method.ConsumerTag)
		}
	}
	return events
}

// checkPublished holds what was published to what was to be, and to what came of it.
func (s *framesSession) checkPublished() {
	t := s.t
	var published []string
	for i := range s.relay.sent {
		if m := &s.relay.sent[i]; codec.HasContent(m.method) {
			published = append(published, m.header.Properties.MessageID)
			n := len(published) - 1
			if want := s.publishes[n]; m.header.Properties.MessageID != want.id || !bytes.Equal(m.body, want.body) || s.refused[n] {
				t.Errorf("publish %d is %s, %s; refused: %v", n+1, m.header.Properties.MessageID, summary(m.body), s.refused[n])
			}
		}
	}
	returned := map[string]bool{}
	for _, event := range s.publisher.events {
		words := strings.Fields(event)
		if words[0] == "returned" {
			returned[words[2]] = true
		}
	}
	seen := map[string]int{}
	for _, d := range s.consumer.deliveries {
		seen[d.MessageId]++
		d.DecodeHeaders()
		if d.Headers["id"] != d.MessageId || d.Unreadable() != "" {
			t.Errorf("%s has headers %v", d.MessageId, d.Headers)
		}
	}
	for id, n := range seen {
		if n > 1 || returned[id] || !slices.Contains(published, id) {
			t.Errorf("%s was delivered %d times; returned: %v", id, n, returned[id])
		}
	}
}

// checkOrder holds the client to the rule that nothing follows its close of a channel, or its answer to one.
func (s *framesSession) checkOrder() {
	closed := map[uint16]string{}
	for i := range s.relay.sent {
		m := &s.relay.sent[i]
		_, answers := m.method.(*codec.ChannelCloseOk) // also to a close that has crossed its own
		if last := closed[m.channel]; last != "" && (!answers || last != "channel.close") {
			s.t.Errorf("%s follows %s on channel %d", m.method.Name(), last, m.channel)
		}
		switch m.method.(type) {
		case *codec.ChannelClose, *codec.ChannelCloseOk, *codec.ConnectionCloseOk:
			closed[m.channel] = m.method.Name()
		}
	}
}

// left takes what is left in the queue.
func (s *framesSession) left() []string {
	var ids []string
	for {
		d, ok, err := s.admin.Get(s.queue, true)
		if err != nil {
			s.t.Fatal(err)
		}
		if !ok {
			return ids
		}
		ids = append(ids, d.MessageId)
	}
}

// checkKept holds the broker's confirms to what it has: each message was delivered or is in the queue, and once.
func (s *framesSession) checkKept() {
	tags := map[int]bool{}
	for _, event := range s.publisher.events {
		var tag int
		var multiple, ack bool
		if _, err := fmt.Sscanf(event, "confirmed %d %t %t", &tag, &multiple, &ack); err == nil && ack {
			for i := 1; i <= tag; i++ {
				tags[i] = tags[i] || i == tag || multiple
			}
		}
	}
	found := map[string]int{}
	for _, d := range s.consumer.deliveries {
		found[d.MessageId] = 1
	}
	inQueue := map[string]int{}
	patience.Eventually(s.t, "what was confirmed is found", func() bool {
		for _, id := range s.left() { // what was not acknowledged comes back when the broker has noticed the end
			inQueue[id]++
			found[id] = 1
		}
		for tag := range tags {
			if m := s.publishes[tag-1]; m.key == s.queue && found[m.id] == 0 {
				return false
			}
		}
		return true
	})
	for id, n := range inQueue {
		if n > 1 {
			s.t.Errorf("%s was in the queue %d times", id, n)
		}
	}
}
