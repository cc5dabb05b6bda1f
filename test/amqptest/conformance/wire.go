package conformance

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/patience"
)

// Frame types and the octet that ends each frame.
const (
	methodFrame    = 1
	headerFrame    = 2
	bodyFrame      = 3
	heartbeatFrame = 8
	frameEnd       = 0xCE
)

// method is a class and a method within it, as they stand on the wire.
type method [2]uint16

var (
	connectionStart   = method{10, 10}
	connectionStartOk = method{10, 11}
	connectionTune    = method{10, 30}
	connectionTuneOk  = method{10, 31}
	connectionOpen    = method{10, 40}
	connectionOpenOk  = method{10, 41}
	connectionClose   = method{10, 50}
	connectionCloseOk = method{10, 51}
	channelOpen       = method{20, 10}
	channelOpenOk     = method{20, 11}
	channelFlow       = method{20, 20}
	channelClose      = method{20, 40}
	channelCloseOk    = method{20, 41}
	queueDeclare      = method{50, 10}
	queueDeclareOk    = method{50, 11}
	basicPublish      = method{60, 40}
	basicGet          = method{60, 70}
	basicGetOk        = method{60, 71}
)

// wire is a connection without a client library: it sends what no library
// would, and sees each frame that the broker sends.
type wire struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	url  *url.URL
}

type frame struct {
	kind    byte
	channel uint16
	payload []byte
}

// connectWire opens a TCP connection to the broker of a URL and sends nothing.
func connectWire(t testing.TB, raw string) *wire {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w := &wire{t: t, conn: conn, in: bufio.NewReader(conn), url: u}
	w.patient()
	return w
}

// patient bounds what follows by patience from now.
func (w *wire) patient() { _ = w.conn.SetDeadline(time.Now().Add(patience.Soon)) }

// dialWire goes through the whole handshake, with a frame size of 8192 bytes, no
// heartbeats and at most 10 channels.
func dialWire(t testing.TB, raw string) *wire {
	t.Helper()
	w := connectWire(t, raw)
	w.greet()
	w.login("PLAIN", w.plain(), nil)
	w.tune(10, 8192, 0)
	w.open(vhostOf(t, raw))
	w.expect(0, connectionOpenOk)
	return w
}

func (w *wire) greet() fields {
	w.t.Helper()
	w.raw([]byte("AMQP\x00\x00\x09\x01"))
	return w.expect(0, connectionStart)
}

// login answers the greeting, with client properties as a table's bytes.
func (w *wire) login(mechanism, response string, properties []byte) {
	w.t.Helper()
	w.call(0, connectionStartOk, properties, mechanism, []byte(response), "en_US")
}

// plain is the response of the mechanism PLAIN.
func (w *wire) plain() string {
	password, _ := w.url.User.Password()
	return "\x00" + w.url.User.Username() + "\x00" + password
}

// tune awaits the broker's limits and answers with others.
func (w *wire) tune(channels uint16, size uint32, heartbeat uint16) {
	w.t.Helper()
	w.expect(0, connectionTune)
	w.call(0, connectionTuneOk, channels, size, heartbeat)
}

func (w *wire) open(vhost string) {
	w.t.Helper()
	w.call(0, connectionOpen, vhost, "", uint8(0))
}

func (w *wire) openChannel(channel uint16) {
	w.t.Helper()
	w.call(channel, channelOpen, "")
	w.expect(channel, channelOpenOk)
}

// declare asks for a queue that lives as long as the connection.
func (w *wire) declare(channel uint16, name string, arguments []byte) {
	w.t.Helper()
	w.call(channel, queueDeclare, uint16(0), name, uint8(0b100), arguments)
}

// publish sends the method that begins a message to a queue, without content.
func (w *wire) publish(channel uint16, queue string) {
	w.t.Helper()
	w.call(channel, basicPublish, uint16(0), "", queue, uint8(0))
}

// header announces a body of a size, with no properties.
func (w *wire) header(channel, class uint16, size uint64) {
	w.t.Helper()
	payload := binary.BigEndian.AppendUint16(nil, class)
	payload = binary.BigEndian.AppendUint16(payload, 0)
	payload = binary.BigEndian.AppendUint64(payload, size)
	w.frame(headerFrame, channel, append(payload, 0, 0))
}

// call sends a method: integers as they are, a string as a short one, bytes as a
// long string or a table.
func (w *wire) call(channel uint16, m method, arguments ...any) {
	w.t.Helper()
	payload := binary.BigEndian.AppendUint16(nil, m[0])
	payload = binary.BigEndian.AppendUint16(payload, m[1])
	for _, argument := range arguments {
		switch v := argument.(type) {
		case uint8:
			payload = append(payload, v)
		case uint16:
			payload = binary.BigEndian.AppendUint16(payload, v)
		case uint32:
			payload = binary.BigEndian.AppendUint32(payload, v)
		case string:
			payload = append(append(payload, byte(len(v))), v...)
		case []byte:
			payload = append(binary.BigEndian.AppendUint32(payload, uint32(len(v))), v...)
		default:
			w.t.Fatalf("no encoding for %T", v)
		}
	}
	w.frame(methodFrame, channel, payload)
}

func (w *wire) frame(kind byte, channel uint16, payload []byte) {
	w.t.Helper()
	out := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	out = binary.BigEndian.AppendUint32(out, uint32(len(payload)))
	w.raw(append(append(out, payload...), frameEnd))
}

func (w *wire) raw(data []byte) {
	w.t.Helper()
	if _, err := w.conn.Write(data); err != nil {
		w.t.Fatal(err)
	}
}

// next returns the next frame that is not a heartbeat, and false at the
// connection's end.
func (w *wire) next() (frame, bool) {
	w.t.Helper()
	for {
		f, ok := w.any()
		if !ok || f.kind != heartbeatFrame {
			return f, ok
		}
	}
}

func (w *wire) any() (frame, bool) {
	w.t.Helper()
	var head [7]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			w.t.Fatal("no frame, and the connection stays open")
		}
		return frame{}, false
	}
	f := frame{kind: head[0], channel: binary.BigEndian.Uint16(head[1:])}
	f.payload = make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err := io.ReadFull(w.in, f.payload); err != nil {
		w.t.Fatal(err)
	}
	f.payload = f.payload[:len(f.payload)-1]
	return f, true
}

// expect awaits a method as the very next frame and returns its arguments.
func (w *wire) expect(channel uint16, m method) fields {
	w.t.Helper()
	f, ok := w.next()
	if !ok {
		w.t.Fatalf("the connection ended; want %v", m)
	}
	if f.kind != methodFrame || f.channel != channel || !slices.Equal(f.payload[:4], []byte{0, byte(m[0]), 0, byte(m[1])}) {
		w.t.Fatalf("got frame %d on channel %d: %q; want %v on %d", f.kind, f.channel, f.payload, m, channel)
	}
	return fields{f.payload[4:]}
}

// refused awaits the close of the connection (channel 0) or of a channel. A text
// that ends with "..." is the beginning of the broker's.
func (w *wire) refused(channel uint16, code uint16, text string, cause method) {
	w.t.Helper()
	m := connectionClose
	if channel != 0 {
		m = channelClose
	}
	in := w.expect(channel, m)
	gotCode, gotText := in.u16(), in.short()
	got := method{in.u16(), in.u16()}
	fits := gotText == text
	if start, cut := strings.CutSuffix(text, "..."); cut {
		fits = strings.HasPrefix(gotText, start)
	}
	if gotCode != code || !fits || got != cause {
		w.t.Fatalf("closed with %d %q for %v; want %d %q for %v", gotCode, gotText, got, code, text, cause)
	}
	if channel == 0 {
		w.call(0, connectionCloseOk)
		w.ends()
	}
}

// ends awaits the end of the connection without another frame.
func (w *wire) ends() {
	w.t.Helper()
	if f, ok := w.next(); ok {
		w.t.Fatalf("got frame %d on channel %d: %q; want the end", f.kind, f.channel, f.payload)
	}
}

// fields are a method's arguments, taken from the front.
type fields struct{ rest []byte }

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		panic(fmt.Sprintf("method is too short: %q", f.rest))
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) u8() uint8     { return f.take(1)[0] }
func (f *fields) u16() uint16   { return binary.BigEndian.Uint16(f.take(2)) }
func (f *fields) u32() uint32   { return binary.BigEndian.Uint32(f.take(4)) }
func (f *fields) short() string { return string(f.take(int(f.u8()))) }
func (f *fields) long() string  { return string(f.take(int(f.u32()))) }
