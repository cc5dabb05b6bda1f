package frames

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Conn stands between the AMQP library and the transport of one connection: the library is opened on it. What a broker
// sends on channels with a [Handler] goes there and not to the library, and what is written to a [Channel] goes out
// between the frames of the library's.
//
// It has no goroutine but the library's, and no deadlines: the transport sets those.
type Conn struct {
	transport io.ReadWriteCloser
	frameMax  atomic.Uint32 // the size of the largest frame, as the library has agreed on it

	reading  sync.Mutex // held while frames are read and handlers are called
	in       input
	readErr  error  // what reading has ended with
	out      []byte // the rest of what the library gets next, in the input's buffer or in replaced
	passing  int64  // octets of the frame in hand that follow out, and go to the library as they come
	replaced []byte // the last header that was made for the library

	mu       sync.Mutex
	channels map[uint16]*Channel // by number the last that was opened; nil once the connection has ended
	opened   *Channel            // by the last channel.open
	cause    error               // of the connection's end, as far as it is known
	closed   bool                // the transport is

	opening sync.Mutex // held while a channel is opened

	writing  sync.Mutex // held while frames are written, after which nothing is left of them
	held     []byte     // the part of a frame that the library has written so far
	parts    net.Buffers
	rest     net.Buffers // of parts, while they are written
	writeErr error
}

// BuffersWriter is a transport that writes several buffers at once. It may change the slice, as [net.Buffers] does.
type BuffersWriter interface {
	WriteBuffers(buffers *net.Buffers) error
}

// New returns a Conn on a transport, which nobody else should read from or write to. If it is no [BuffersWriter], large
// bodies are written one by one.
func New(transport io.ReadWriteCloser) *Conn {
	c := &Conn{transport: transport, channels: map[uint16]*Channel{}}
	c.in = input{from: transport, buf: make([]byte, readAhead)}
	c.frameMax.Store(defaultFrameMax)
	return c
}

// Channel returns the channel that open opens by the library, whose error it returns. All channels of the connection
// are opened by it, one after the other.
func (c *Conn) Channel(open func() error) (*Channel, error) {
	c.opening.Lock()
	defer c.opening.Unlock()
	c.takeOpened()
	if err := open(); err != nil {
		return nil, err
	}
	if ch := c.takeOpened(); ch != nil {
		return ch, nil
	}
	return nil, errors.New("no channel was opened")
}

func (c *Conn) takeOpened() *Channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.opened
	c.opened = nil
	return ch
}

// open notes that the library opens a channel, which may have had an earlier one's number.
func (c *Conn) open(number uint16) {
	ch := &Channel{conn: c, number: number}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened = ch
	if c.channels == nil {
		ch.end(c.cause)
		return
	}
	if before := c.channels[number]; before != nil {
		// The library has given it up without the broker's answer.
		if handler := before.end(ErrClosed); handler != nil {
			go c.whileReaderRests(func() { handler.Ended(ErrClosed) })
		}
	}
	c.channels[number] = ch
}

// channel returns the channel with the number and its handler, nil if there is none.
func (c *Conn) channel(number uint16) (*Channel, Handler) {
	if number == 0 {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.channels[number]
	if ch == nil {
		return nil, nil
	}
	return ch, ch.handler
}

// endChannel ends one channel, whose number may be used again. The caller holds reading.
func (c *Conn) endChannel(ch *Channel, err error) {
	ch.content = content{stage: over}
	c.mu.Lock()
	handler := ch.end(err)
	c.mu.Unlock()
	if handler != nil {
		handler.Ended(err)
	}
}

// end ends all channels, with what was known before to end the connection or else with err. The caller holds reading.
func (c *Conn) end(err error) {
	var handlers []Handler
	c.mu.Lock()
	if c.cause == nil {
		c.cause = err
	}
	err = c.cause
	for _, ch := range c.channels {
		if handler := ch.end(err); handler != nil {
			handlers = append(handlers, handler)
		}
	}
	c.channels = nil
	c.mu.Unlock()
	for _, handler := range handlers {
		handler.Ended(err)
	}
}

// Close closes the transport and ends all channels.
func (c *Conn) Close() error { return c.closeFor(ErrClosed) }

func (c *Conn) closeFor(cause error) error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	if c.cause == nil {
		c.cause = cause
	}
	c.mu.Unlock()
	if closed {
		return nil
	}
	err := c.transport.Close()
	// The library may be busy with what it has read, or be waiting for whoever calls this.
	go c.whileReaderRests(func() { c.end(cause) })
	return err
}

// whileReaderRests calls f when no frame is read and no handler is called.
func (c *Conn) whileReaderRests(f func()) {
	c.reading.Lock()
	defer c.reading.Unlock()
	f()
}

// violation is what a connection ends with whose broker breaks the protocol.
func violation(format string, args ...any) error {
	return fmt.Errorf("the broker breaks the protocol: "+format, args...)
}

const (
	headSize = codec.FrameOverhead - 1 // type, channel and size of the payload
	frameEnd = 0xCE

	// defaultFrameMax is what RabbitMQ proposes unless it is told otherwise.
	defaultFrameMax = 128 << 10
)
