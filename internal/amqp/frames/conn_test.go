package frames

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func ack(tag uint64, multiple bool) []byte {
	return method(1, &codec.BasicAck{DeliveryTag: tag, Multiple: multiple})
}

// returned is what the broker sends for an unroutable publish with the correlation ID "id".
func returned(channel uint16) []byte {
	out := method(channel, &codec.BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE", RoutingKey: "nowhere"})
	return appendContent(out, channel, payload(properties(), 4), []byte("body"))
}

func appendContent(out []byte, channel uint16, header []byte, bodies ...[]byte) []byte {
	out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameHeader, Channel: channel, Payload: header})
	for _, body := range bodies {
		out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameBody, Channel: channel, Payload: body})
	}
	return out
}

func TestHandlersAreToldInTheOrderOfTheWire(t *testing.T) {
	t.Parallel()
	s, p := open(t, 8192)
	s.ch.Handle(s.told)
	b := s.ch.NewBatch()
	for range 3 {
		if err := b.AppendPublish("nowhere", true, &amqp.Publishing{CorrelationId: "id"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ch.Write(b); err != nil {
		t.Fatal(err)
	}
	out := returned(1)
	out = append(out, ack(1, false)...)
	out = append(out, message(payload(properties(), 6), []byte("bod"))...)
	out = append(out, method(0, &codec.ConnectionBlocked{Reason: "memory"})...) // between two frames of a message
	out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameBody, Channel: 1, Payload: []byte("ies")})
	out = append(out, method(1, &codec.BasicNack{DeliveryTag: 3, Multiple: true})...)
	out = append(out, method(1, &codec.BasicCancel{ConsumerTag: "tag", NoWait: true})...)
	out = append(out, method(1, &codec.ChannelClose{ReplyCode: 404, ReplyText: "gone"})...)
	p.send(out)
	e := new(amqp.Error)
	if err := s.told.end(t); !errors.As(err, &e) || e.Code != 404 || e.Reason != "gone" || !e.Server || !e.Recover {
		t.Errorf("ended with %#v", err)
	}
	want := []string{
		"returned id", "confirmed 1 false true", "delivered 1 bodies", "confirmed 3 true false", "canceled tag", "ended " + e.Error(),
	}
	if got := s.told.until(t, len(want)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	d := s.told.deliveries[0]
	d.DecodeHeaders()
	if want := readByLibrary(t, payload(properties(), 6), []byte("bodies")); !reflect.DeepEqual(d.Delivery, want) {
		t.Errorf("%+v\nwhere the library reads\n%+v", d.Delivery, want)
	}
	if r := s.told.returns[0]; r.ReplyCode != 312 || r.ReplyText != "NO_ROUTE" || r.RoutingKey != "nowhere" || r.Type != "type" {
		t.Errorf("returned %+v", r)
	}
	b.AppendAck(1, false)
	if err := s.ch.Write(b); !errors.Is(err, ErrClosed) || !s.ch.Closed() {
		t.Errorf("a write after the end: %v", err)
	}
}

func readByLibrary(t *testing.T, header, body []byte) amqp.Delivery {
	t.Helper()
	d, err := read(t, raw, header, body)
	if err != nil {
		t.Fatal(err)
	}
	d.Acknowledger = nil
	return d
}

// What the library writes is never followed, on the same channel, by what is written here.
func TestNothingFollowsTheCloseOfAChannel(t *testing.T) {
	t.Parallel()
	s, p := open(t, 8192)
	s.ch.Handle(s.told)
	closed := make(chan error, 1)
	go func() { closed <- s.amqp.Close() }()
	await[*codec.ChannelClose](p)
	b := s.ch.NewBatch()
	b.AppendAck(1, false)
	if err := s.ch.Write(b); !errors.Is(err, ErrClosed) {
		t.Errorf("written after the close: %v", err)
	}
	p.send(message(payload(codec.Properties{}, 4), []byte("last"))) // on its way before the broker had read the close
	p.say(1, &codec.ChannelCloseOk{})
	if err := s.told.end(t); !errors.Is(err, ErrClosed) {
		t.Errorf("ended with %v", err)
	}
	if got := s.told.until(t, 2); got[0] != "delivered 1 last" {
		t.Errorf("%q", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	// The number is used again, and what the broker says on it belongs to the new channel.
	before := s.ch
	s.told = newTold()
	go func() {
		await[*codec.ChannelOpen](p)
		p.say(1, &codec.ChannelCloseOk{}) // to a close that crossed the broker's own
		p.say(1, &codec.ChannelOpenOk{})
	}()
	s.openChannel(t)
	s.ch.Handle(s.told)
	p.send(message(payload(codec.Properties{}, 4), []byte("next")))
	if got := s.told.until(t, 1); got[0] != "delivered 1 next" || !before.Closed() || s.ch.Closed() {
		t.Errorf("%q", got)
	}
}

func TestHandlersAreToldWhyTheChannelOrConnectionEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(*side, *peer)
		want func(error) bool
	}{
		"the broker closes it": {
			func(_ *side, p *peer) { p.say(0, &codec.ConnectionClose{ReplyCode: 320, ReplyText: "shutdown"}) },
			func(err error) bool {
				e := new(amqp.Error)
				return errors.As(err, &e) && e.Code == 320 && e.Server && !e.Recover
			},
		},
		"the broker closes it with a channel's code": {
			func(_ *side, p *peer) { p.say(0, &codec.ConnectionClose{ReplyCode: 403, ReplyText: "refused"}) },
			func(err error) bool {
				e := new(amqp.Error)
				return errors.As(err, &e) && e.Code == 403 && !e.Recover
			},
		},
		"the broker closes the channel with a connection's code": {
			func(_ *side, p *peer) { p.say(1, &codec.ChannelClose{ReplyCode: 541, ReplyText: "error"}) },
			func(err error) bool {
				e := new(amqp.Error)
				return errors.As(err, &e) && e.Code == 541 && e.Recover
			},
		},
		"it is cut":                      {func(_ *side, p *peer) { p.conn.Close() }, func(err error) bool { return errors.Is(err, io.EOF) }},
		"this side closes the transport": {func(s *side, _ *peer) { _ = s.frames.Close() }, isClosed},
		"this side closes it": {func(s *side, p *peer) {
			go func() { _ = s.conn.Close() }()
			await[*codec.ConnectionClose](p)
			if !s.ch.Closed() {
				p.t.Error("the channel may be written to after connection.close")
			}
			p.say(0, &codec.ConnectionCloseOk{})
		}, isClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := open(t, 8192)
			s.ch.Handle(s.told)
			test.end(s, p)
			if err := s.told.end(t); !test.want(err) {
				t.Errorf("the handler was told of %#v", err)
			}
			late := newTold()
			s.ch.Handle(late) // whoever comes too late is told at once
			if err := late.end(t); !test.want(err) {
				t.Errorf("a late handler was told of %#v", err)
			}
			if _, err := s.frames.Channel(func() error { return nil }); err == nil {
				t.Error("a channel on a connection that has ended")
			}
		})
	}
}

func isClosed(err error) bool { return errors.Is(err, ErrClosed) }

// The library may stand still over what it has got: the end does not wait for it.
func TestTheEndDoesNotWaitForTheLibrary(t *testing.T) {
	t.Parallel()
	in, _ := socketPair(t)
	c := New(in)
	c.open(1)
	h := newTold()
	c.takeOpened().Handle(h) // and nobody reads
	_ = c.Close()
	if err := h.end(t); !isClosed(err) {
		t.Errorf("the handler was told of %v", err)
	}
}

// The broker may close a channel in the middle of a message, whose rest comes all the same. The connection lives on.
func TestTheEndOfAChannelInterruptsAMessage(t *testing.T) {
	t.Parallel()
	s, p := open(t, 8192)
	s.ch.Handle(s.told)
	p.say(1, &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1})
	late := method(1, &codec.ChannelClose{ReplyCode: 406, ReplyText: "unknown delivery tag"})
	late = appendContent(late, 1, payload(properties(), 8000), make([]byte, 4000), make([]byte, 4000))
	late = append(late, message(payload(properties(), 4), []byte("next"))...)
	p.send(append(late, ack(1, false)...))
	e := new(amqp.Error)
	if err := s.told.end(t); !errors.As(err, &e) || e.Code != 406 {
		t.Errorf("the handler was told of %#v", err)
	}
	await[*codec.ChannelCloseOk](p)
	// The number is used again, and nothing else has been said on the connection.
	s.told = newTold()
	go func() {
		await[*codec.ChannelOpen](p)
		p.say(1, &codec.ChannelOpenOk{})
	}()
	s.openChannel(t)
	s.ch.Handle(s.told)
	p.send(message(payload(properties(), 4), []byte("body")))
	if got := s.told.until(t, 1); got[0] != "delivered 1 body" {
		t.Errorf("%q", got)
	}
}
