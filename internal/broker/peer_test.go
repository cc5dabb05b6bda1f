package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// peer is a broker that takes publishes and answers each as the test wants. It
// speaks no more of AMQP than that needs.
type peer struct {
	conn   net.Conn
	answer func(p *peer, m message)

	writing sync.Mutex
	unsent  []byte
	sending bool

	mu     sync.Mutex
	opened []uint16 // channels, in the order of their opening
	tags   map[uint16]uint64
}

// message is one publish: on which channel, as which delivery tag, for whom.
type message struct {
	channel         uint16
	tag             uint64
	key             string
	header, content []byte
}

func (p *peer) frame(kind byte, channel uint16, payload []byte) []byte {
	out := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	out = binary.BigEndian.AppendUint32(out, uint32(len(payload)))
	return append(append(out, payload...), 0xce)
}

func (p *peer) method(channel, class, method uint16, args ...byte) []byte {
	payload := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, class), method)
	return p.frame(1, channel, append(payload, args...))
}

// send does not wait for the other side, which may be writing: a pipe has no room.
func (p *peer) send(frames ...[]byte) {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.unsent = append(p.unsent, bytes.Join(frames, nil)...)
	if !p.sending {
		p.sending = true
		go p.write()
	}
}

func (p *peer) write() {
	p.writing.Lock()
	defer p.writing.Unlock()
	for len(p.unsent) > 0 {
		out := p.unsent
		p.unsent = nil
		p.writing.Unlock()
		_, _ = p.conn.Write(out) // the other side may have gone, as tests mean it to
		p.writing.Lock()
	}
	p.sending = false
}

func (p *peer) confirm(channel uint16, ack bool, tag uint64, multiple byte) {
	method := uint16(80)
	if !ack {
		method = 120
	}
	p.send(p.method(channel, 60, method, append(binary.BigEndian.AppendUint64(nil, tag), multiple)...))
}

func (p *peer) ack(m message)  { p.confirm(m.channel, true, m.tag, 0) }
func (p *peer) nack(m message) { p.confirm(m.channel, false, m.tag, 0) }

// giveBack is what a broker does with a mandatory message that has no queue.
func (p *peer) giveBack(m message) {
	args := append([]byte{0x01, 0x38, 8}, "NO_ROUTE"...) // 312
	args = append(args, 0, byte(len(m.key)))
	args = append(args, m.key...)
	frames := [][]byte{p.method(m.channel, 60, 50, args...), p.frame(2, m.channel, m.header)}
	if len(m.content) > 0 {
		frames = append(frames, p.frame(3, m.channel, m.content))
	}
	p.send(frames...)
	p.ack(m)
}

// closeChannel ends a channel as RabbitMQ does when a message breaks a rule.
func (p *peer) closeChannel(channel uint16) { p.refuse(channel, amqp.PreconditionFailed, "broken") }

// refuse ends a channel over a publish.
func (p *peer) refuse(channel uint16, code uint16, text string) {
	args := append(binary.BigEndian.AppendUint16(nil, code), byte(len(text)))
	p.send(p.method(channel, 20, 40, append(append(args, text...), 0, 60, 0, 40)...))
}

// channels returns how many channels have been opened.
func (p *peer) channels() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.opened)
}

// serve reads until the connection ends.
func (p *peer) serve() {
	r := bufio.NewReader(p.conn)
	if _, err := io.ReadFull(r, make([]byte, 8)); err != nil {
		return
	}
	start := append([]byte{0, 9, 0, 0, 0, 0, 0, 0, 0, 5}, "PLAIN\x00\x00\x00\x05en_US"...)
	p.send(p.method(0, 10, 10, start...))
	open := map[uint16]*message{}
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		payload = payload[:len(payload)-1]
		channel := binary.BigEndian.Uint16(head[1:])
		switch head[0] {
		case 1:
			p.handle(channel, binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:]), payload[4:], open)
		case 2:
			open[channel].header = payload
		case 3:
			open[channel].content = append(open[channel].content, payload...)
		}
		if m := open[channel]; m != nil && m.header != nil && uint64(len(m.content)) == binary.BigEndian.Uint64(m.header[4:]) {
			delete(open, channel)
			p.answer(p, *m)
		}
	}
}

func (p *peer) handle(channel, class, method uint16, args []byte, open map[uint16]*message) {
	switch [2]uint16{class, method} {
	case [2]uint16{10, 11}: // start-ok
		p.send(p.method(0, 10, 30, 7, 255, 0, 2, 0, 0, 0, 0))
	case [2]uint16{10, 40}: // open
		p.send(p.method(0, 10, 41, 0))
	case [2]uint16{10, 50}: // close
		p.send(p.method(0, 10, 51))
	case [2]uint16{20, 10}: // channel.open
		p.mu.Lock()
		p.opened, p.tags[channel] = append(p.opened, channel), 0
		p.mu.Unlock()
		p.send(p.method(channel, 20, 11, 0, 0, 0, 0))
	case [2]uint16{20, 40}: // channel.close
		p.send(p.method(channel, 20, 41))
	case [2]uint16{85, 10}: // confirm.select
		p.send(p.method(channel, 85, 11))
	case [2]uint16{60, 40}: // basic.publish: ticket, exchange, routing key, flags
		p.mu.Lock()
		p.tags[channel]++
		m := &message{channel: channel, tag: p.tags[channel]}
		p.mu.Unlock()
		rest := args[3+int(args[2]):]
		m.key = string(rest[1 : 1+rest[0]])
		open[channel] = m
	}
}

// published is a publisher on a session with a peer.
type published struct {
	*Publisher
	peer    *peer
	session *Session
	stop    context.CancelFunc
	serving sync.WaitGroup
}

// connect opens a session to a peer and serves p on it until the test ends.
func connect(t *testing.T, p *Publisher, answer func(p *peer, m message)) *published {
	t.Helper()
	here, there := net.Pipe()
	return connectBy(t, here, there, p, answer)
}

// connectBy is connect by the two ends of a connection.
func connectBy(t *testing.T, here, there net.Conn, p *Publisher, answer func(p *peer, m message)) *published {
	t.Helper()
	r := &published{Publisher: p, peer: &peer{conn: there, answer: answer, tags: map[uint16]uint64{}}}
	r.serving.Go(r.peer.serve)
	c := &connection{sock: newSocket(here, time.Minute)}
	c.frames = frames.New(c.sock)
	var err error
	c.conn, err = amqp.Open(c.frames, amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{}}, Vhost: "/"})
	if err != nil {
		t.Fatal(err)
	}
	r.session = newSession(1, c, p.setBlocked)
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.serving.Go(func() { p.Serve(ctx, r.session) })
	t.Cleanup(r.end)
	return r
}

// end cuts the connection and waits until nothing runs any more.
func (r *published) end() {
	r.session.Kill(errBroken)
	r.stop()
	r.peer.conn.Close()
	r.session.close()
	r.serving.Wait()
}
