package frames

import (
	"bytes"
	"io"
	"testing"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// counted is the header of a message that the broker has put in order, and delivers for the nth time.
func counted(n int64) []byte {
	p := properties()
	p.Headers = codec.Table{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}
	if n > 0 {
		p.Headers = codec.Table{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "x-delivery-count", Value: n}}
	}
	return payload(p, 4)
}

// other is a message with the same headers, and another ID.
func other() []byte {
	return bytes.Replace(counted(0), []byte("\x02id"), []byte("\x02jd"), 1)
}

// hating makes the library choke on headers with the correlation ID "id", though nothing is wrong with them.
func hating(r io.Reader) io.Reader { return hater{r} }

type hater struct{ r io.Reader }

func (h hater) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if p[0] == byte(codec.FrameHeader) && bytes.Contains(p[:n], []byte("\x02id")) {
		p[0] = 99 // no type of a frame
	}
	return n, err
}

func TestAMessageThatEndsConnectionsIsKeptFromThem(t *testing.T) {
	t.Parallel()
	var fatal Fatal
	for n := range int64(2) {
		var r *Reader
		l := newLibrary(t, func(in io.Reader) io.Reader {
			r = NewReader(in)
			r.Refuse(&fatal)
			return hating(r)
		})
		go l.send(message(other(), []byte("body")))
		if _, err := l.next(); err != nil {
			t.Fatal(err)
		}
		go l.send(message(counted(n), []byte("body")))
		if _, err := l.next(); err == nil {
			t.Fatal("the library has not choked")
		}
		d := r.Unread()
		l.end()
		if d == nil || d.Consumer != "tag" || d.Tag != 1 || d.RoutingKey != "queue" {
			t.Fatalf("unread: %+v", d)
		}
		if proven := fatal.Ended(d); proven != (n == 1) {
			t.Fatalf("end %d: proven %v", n+1, proven)
		}
	}
	l := newLibrary(t, func(in io.Reader) io.Reader {
		r := NewReader(in)
		r.Refuse(&fatal)
		return hating(r)
	})
	defer l.end()
	for _, header := range [][]byte{other(), counted(2), other()} {
		go l.send(message(header, []byte("body")))
		d, err := l.next()
		if err != nil || string(d.Body) != "body" {
			t.Fatalf("%+v, %v", d, err)
		}
		if lost := d.Headers[Mark] == Lost; lost != (d.CorrelationId == "") {
			t.Errorf("%+v", d)
		}
	}
}

// A connection that ends for another reason says nothing of a message.
func TestReadersAcquitWhatTheLibraryHasRead(t *testing.T) {
	t.Parallel()
	frames := message(counted(0), []byte("body"))
	returned := method(1, &codec.BasicReturn{})
	returned = codec.AppendFrame(returned, codec.Frame{Type: codec.FrameHeader, Channel: 1, Payload: counted(0)})
	for name, test := range map[string]struct {
		frames []byte
		read   int
		unread bool
	}{
		"before the header": {frames, len(frames) - len(counted(0)) - 8 - 12, false},
		"in the header":     {frames, len(frames) - 12 - 1, true},
		"after the header":  {frames, len(frames) - 12, true},
		"in the body":       {frames, len(frames) - 1, false},
		"after a return":    {returned, len(returned), false},
	} {
		r := NewReader(bytes.NewReader(test.frames))
		if _, err := io.ReadFull(r, make([]byte, test.read)); err != nil {
			t.Fatal(err)
		}
		if d := r.Unread(); (d != nil) != test.unread {
			t.Errorf("%s: unread %+v", name, d)
		}
	}
	r := NewReader(bytes.NewReader(frames[:len(frames)-12]))
	if _, err := io.ReadAll(r); err != nil || r.Unread() != nil {
		t.Errorf("at the end: %v, unread %+v", err, r.Unread())
	}
}

func TestFatalForgetsBeforeItGrowsLarge(t *testing.T) {
	t.Parallel()
	var f Fatal
	for id := range uint64(10 * mostFatal) {
		f.Ended(&Unread{id: id + 1})
		f.Ended(&Unread{id: id + 1})
		if !f.has(id + 1) {
			t.Fatalf("message %d was forgotten at once", id)
		}
	}
	if len(f.ends) > mostFatal {
		t.Errorf("%d messages are remembered", len(f.ends))
	}
}
