// Package warp gives a client or a server another clock than the rest of the world
// has, as far as the others can tell: it moves the instants in Warren's messages on
// their way through a connection to a broker. A process in a warp goes by its own
// clock, so hours pass for it in no time, and its timers are as they were.
package warp

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Dial dials the broker, like warren.Broker.Dial, for a process whose clock is
// behind that of the world by ahead(), or before it if that is negative: what it
// writes is moved ahead by that much, and what it reads back. The connection is not
// encrypted. ahead is called by several goroutines.
func Dial(ahead func() time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	var dialer net.Dialer
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: nc, out: stream{greeting: protocolHeader}, ahead: ahead}, nil
	}
}

type conn struct {
	net.Conn

	ahead func() time.Duration

	writing sync.Mutex
	out     stream

	reading sync.Mutex
	in      stream
	ready   []byte // moved, and not yet read
	chunk   [32 << 10]byte
}

// Write implements net.Conn. It writes what is whole, and keeps the rest.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if whole := c.out.take(p, c.ahead()); len(whole) > 0 {
		if _, err := c.Conn.Write(whole); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(c.ready) == 0 {
		n, err := c.Conn.Read(c.chunk[:])
		c.ready = c.in.take(c.chunk[:n], -c.ahead())
		if err != nil && len(c.ready) == 0 {
			return 0, err
		}
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// Of AMQP 0-9-1: a frame is a type, a channel and a size, so many bytes, and an end.
const (
	protocolHeader = 8 // bytes, which a client writes first
	frameHead      = 7
	headerFrame    = 2
	bodyFrame      = 3
)

// stream is one direction of a connection.
type stream struct {
	greeting int // bytes that come before the first frame
	held     []byte
}

// take adds what has come, and returns the frames that are whole, moved.
func (s *stream) take(p []byte, by time.Duration) []byte {
	s.held = append(s.held, p...)
	var whole []byte
	if s.greeting > 0 {
		if len(s.held) < s.greeting {
			return nil
		}
		whole, s.held, s.greeting = append(whole, s.held[:s.greeting]...), s.held[s.greeting:], 0
	}
	for len(s.held) >= frameHead {
		size := frameHead + int(binary.BigEndian.Uint32(s.held[3:])) + 1
		if len(s.held) < size {
			break
		}
		frame := s.held[:size]
		if kind := frame[0]; kind == headerFrame || kind == bodyFrame {
			move(frame, by)
		}
		whole, s.held = append(whole, frame...), s.held[size:]
	}
	s.held = bytes.Clone(s.held) // let go of what has gone
	return whole
}

// Instants are Unix milliseconds. Version 1 of the metadata, and bodies, have them in
// thirteen digits, until the year 2286; version 2 has one, in eight of base 36, until
// 2059.
var (
	decimal = regexp.MustCompile(`(?:;[dt]=|"issued":)(\d{13})`)
	base36  = regexp.MustCompile(`warren/2[a-z];t([0-9a-z]{8})`)
)

// move moves the instants that are in a frame. It stays as long as it is.
func move(frame []byte, by time.Duration) {
	moveAll(frame, decimal, 10, by)
	moveAll(frame, base36, 36, by)
}

func moveAll(frame []byte, instants *regexp.Regexp, base int, by time.Duration) {
	for _, at := range instants.FindAllSubmatchIndex(frame, -1) {
		if ms, err := strconv.ParseInt(string(frame[at[2]:at[3]]), base, 64); err == nil {
			copy(frame[at[2]:at[3]], strconv.FormatInt(ms+by.Milliseconds(), base))
		}
	}
}
