package frames

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

// frame of a script: its type, or the number of a basic method, and what it holds.
func scripted(kind byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(payload))), payload...)
}

func scriptedMethod(m codec.Method) []byte {
	octets, err := codec.AppendMethod(nil, m)
	if err != nil {
		panic(err)
	}
	return scripted(octets[3], octets[idSize:])
}

func scriptedContent(m codec.Method, p codec.Properties, bodies ...string) []byte {
	out := append(scriptedMethod(m), scripted(byte(codec.FrameHeader), payload(p, len(strings.Join(bodies, ""))))...)
	for _, body := range bodies {
		out = append(out, scripted(byte(codec.FrameBody), []byte(body))...)
	}
	return out
}

// play makes frames on channel 1 of a script, of any octets but for methods, which are AMQP.
// Readable is whether the library is known to read all their headers.
func play(script []byte) (out []byte, readable bool) {
	readable = true
	for len(script) > 2 {
		kind := codec.FrameType(script[0])
		size := min(int(binary.BigEndian.Uint16(script[1:])), len(script)-3)
		octets := script[3 : 3+size]
		script = script[3+size:]
		switch kind {
		case codec.FrameHeader:
			readable = readable && isReadable(octets)
		case codec.FrameBody:
		default:
			methods := [...]byte{50, 60, 80, 120}
			method := byte(kind)
			if !bytes.Contains(methods[:], []byte{method}) {
				method = methods[kind%4]
			}
			kind, octets = codec.FrameMethod, append([]byte{0, 60, 0, method}, octets...)
			m, err := codec.DecodeMethod(octets)
			if err != nil {
				continue // the library would read on in the next frame
			}
			if d, ok := m.(*codec.BasicDeliver); ok && d.DeliveryTag == endMark {
				continue
			}
			if method == 80 || method == 120 { // the library counts up to any tag, and believes those of no publish
				binary.BigEndian.PutUint64(octets[idSize:], binary.BigEndian.Uint64(octets[idSize:])%(scriptedPublishes+1))
			}
		}
		out = codec.AppendFrame(out, codec.Frame{Type: kind, Channel: 1, Payload: octets})
	}
	return out, readable
}

func isReadable(header []byte) bool {
	if len(header) < fixedSize {
		return false
	}
	header = bytes.Clone(header)
	before := bytes.Clone(header)
	h, flaw := split(header)
	return flaw == "" && checkTable(h.table, 0) == "" && bytes.Equal(header, before) // else it had an L
}

// heard is what one side makes of a stream.
type heard struct {
	deliveries, returns []string
	confirms            [scriptedPublishes]string
	whole               bool // it was read to the end
}

// scriptedPublishes is how many publishes may be confirmed.
const scriptedPublishes = 5

const endMark = 1<<64 - 1

// FuzzHotFrames has a script of deliveries, returns and confirms read by the library and here. They hear the same, but
// for these differences, all of which RabbitMQ does not give cause for:
//
//   - The library ends the connection over header tables that arrive here as unreadable. It takes a value that is cut
//     short for the end of a list, what comes after the last property for nothing, and many entries with few keys for few.
//   - Here the connection ends where the content of a message breaks off, or comes unannounced or too long. The library
//     drops that. It takes a confirm of what was not published for one of what was, which here is none.
//   - Of a return only the properties are kept here, and the library drops deliveries for consumers that it does not know.
func FuzzHotFrames(f *testing.F) {
	deliver := &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 7, Redelivered: true, Exchange: "e", RoutingKey: "queue"}
	back := &codec.BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE", RoutingKey: "nowhere"}
	ack := func(tag uint64, multiple bool) []byte {
		return scriptedMethod(&codec.BasicAck{DeliveryTag: tag, Multiple: multiple})
	}
	lost := scriptedMethod(&codec.BasicNack{DeliveryTag: 2})
	f.Add(scriptedContent(deliver, properties(), "body"))
	f.Add(bytes.Join([][]byte{
		scriptedContent(back, properties(), "a", "b"), ack(1, false), scriptedContent(deliver, codec.Properties{}), lost, ack(4, true),
		scriptedContent(deliver, traced(), "", "x"),
	}, nil))
	f.Add(bytes.Join([][]byte{scriptedMethod(deliver), ack(1, false), scriptedContent(deliver, traced(), "x")}, nil))
	f.Add(append(scriptedMethod(deliver), scripted(byte(codec.FrameHeader), withTable(entry("h", lists(33)), 0))...))
	f.Add(append(scriptedMethod(deliver), scripted(byte(codec.FrameHeader), withTable(entry("L", append([]byte{'L'}, make([]byte, 8)...)), 0))...))
	for bit := range 16 {
		p := properties()
		p.Present = 1 << bit &^ 3
		f.Add(scriptedContent(deliver, p, "b"))
	}
	f.Add([]byte{60, 0, 5, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<16 {
			return
		}
		frames, readable := play(script)
		theirs := byLibrary(t, frames)
		ours, err := byHandler(t, frames)
		compare := func(what string, ours, theirs []string, whole bool) {
			for i := range min(len(ours), len(theirs)) {
				if strings.HasPrefix(ours[i], "unreadable") {
					if readable {
						t.Errorf("%s %d: %s", what, i, ours[i])
					}
					continue
				}
				if ours[i] != theirs[i] {
					t.Errorf("%s %d:\n%s\nwhich the library reads as\n%s", what, i, ours[i], theirs[i])
				}
			}
			if len(ours) < len(theirs) && err == nil {
				t.Errorf("only %d of %d %s", len(ours), len(theirs), what)
			}
			if len(theirs) < len(ours) && whole {
				t.Errorf("%d %s, where the library has %d", len(ours), what, len(theirs))
			}
		}
		compare("deliveries", ours.deliveries, theirs.deliveries, theirs.whole)
		compare("returns", ours.returns, theirs.returns, theirs.whole)
		if ours.whole && theirs.whole && ours.confirms != theirs.confirms {
			t.Errorf("confirms %q, where the library has %q", ours.confirms, theirs.confirms)
		}
		if !theirs.whole && readable && err == nil {
			t.Errorf("the library has ended the connection over what is read here as %+v", ours)
		}
		if !ours.whole && err == nil || err != nil && !strings.Contains(err.Error(), "breaks the protocol") {
			t.Errorf("reading ended with %v", err)
		}
	})
}

// byHandler reads frames here.
func byHandler(t *testing.T, frames []byte) (h heard, err error) {
	end := message(payload(codec.Properties{}, 0), nil)
	told, _, err := listen(t, bytes.NewReader(append(bytes.Clone(frames), end...)), scriptedPublishes)
	n := len(told.deliveries)
	if h.whole = err == nil; h.whole {
		n--
	}
	for _, d := range told.deliveries[:n] {
		d.DecodeHeaders()
		switch {
		case d.ConsumerTag != "tag":
		case d.Unreadable() != "":
			h.deliveries = append(h.deliveries, "unreadable: "+d.Unreadable())
		default:
			h.deliveries = append(h.deliveries, printed(d.Delivery))
		}
	}
	for _, r := range told.returns {
		h.returns = append(h.returns, fmt.Sprintf("%#v", *r))
	}
	for _, event := range told.events {
		var tag uint64
		var multiple, ack bool
		if _, err := fmt.Sscanf(event, "confirmed %d %t %t", &tag, &multiple, &ack); err != nil {
			continue
		}
		for i := range h.confirms {
			if n := uint64(i + 1); h.confirms[i] == "" && (n == tag || multiple && n < tag) {
				h.confirms[i] = fmt.Sprint(ack)
			}
		}
	}
	return h, err
}

func printed(d amqp.Delivery) string {
	d.Acknowledger = nil
	return fmt.Sprintf("%#v", d)
}

// byLibrary has the library alone read frames.
func byLibrary(t *testing.T, frames []byte) (h heard) {
	l := newLibrary(t, raw)
	defer l.end()
	returns := l.channel.NotifyReturn(make(chan amqp.Return, 1000))
	if err := l.channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	var confirms []*amqp.DeferredConfirmation
	for range scriptedPublishes {
		confirm, err := l.channel.PublishWithDeferredConfirm("", "key", false, false, amqp.Publishing{})
		if err != nil {
			t.Fatal(err)
		}
		confirms = append(confirms, confirm)
	}
	mark := method(1, &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: endMark})
	go l.send(appendContent(append(bytes.Clone(frames), mark...), 1, payload(codec.Properties{}, 0)))
	timeout := time.After(patience.Soon)
	for !h.whole {
		select {
		case d, ok := <-l.deliveries:
			if !ok {
				return h
			}
			if h.whole = d.DeliveryTag == endMark; !h.whole {
				h.deliveries = append(h.deliveries, printed(d))
			}
		case <-timeout:
			t.Fatal("the library reads neither the end nor an error")
		}
	}
	for len(returns) > 0 {
		r := <-returns
		r.Headers, r.Body = nil, nil
		h.returns = append(h.returns, fmt.Sprintf("%#v", r))
	}
	for i, confirm := range confirms {
		select {
		case <-confirm.Done():
			h.confirms[i] = fmt.Sprint(confirm.Acked())
		default:
		}
	}
	return h
}
