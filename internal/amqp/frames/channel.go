package frames

import (
	"errors"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ErrClosed says that a channel is closed, and that nothing has been written.
var ErrClosed = errors.New("the channel is closed")

// Channel is one channel of the library's, from its opening to its end. Its methods are safe for concurrent use.
//
// What the library writes on it must not be counted by the broker: publishes go out by Write alone. Nor may the library
// get messages on a channel that has a Handler.
type Channel struct {
	conn   *Conn
	number uint16

	closed    atomic.Bool   // nothing more may be written; set while conn.writing is held if this side closes it
	closing   atomic.Bool   // this side has asked the broker to close it
	published atomic.Uint64 // how many publishes have been written

	handler Handler // guarded by conn.mu
	ended   error   // guarded by conn.mu; not nil once it has ended

	content content // of the reader
}

// Handle has h told what comes on the channel from now on. It is to be called once, before the library is asked for
// anything that has the broker send it: a consumer, or confirms. If the channel has ended by then, h is told at once.
func (ch *Channel) Handle(h Handler) {
	ch.conn.mu.Lock()
	ch.handler = h
	ended := ch.ended
	ch.conn.mu.Unlock()
	if ended != nil {
		h.Ended(ended)
	}
}

// Closed reports whether Write writes nothing any more.
func (ch *Channel) Closed() bool { return ch.closed.Load() }

// NewBatch returns an empty batch for this channel.
func (ch *Channel) NewBatch() *Batch {
	return &Batch{channel: ch.number, frameMax: int(ch.conn.frameMax.Load())}
}

// Write writes all that b has collected, and empties it. With ErrClosed nothing of it was written; with any other error
// the connection ends, and how much was written is not known. It blocks while the broker takes nothing.
//
// Publishes get the next tags in the order in which they were appended, so that who publishes from several goroutines
// must see to the order of their batches.
func (ch *Channel) Write(b *Batch) error {
	defer b.reset()
	if len(b.buf) == 0 {
		return nil
	}
	if b.channel != ch.number {
		panic("frames: a batch for another channel")
	}
	c := ch.conn
	c.writing.Lock()
	defer c.writing.Unlock()
	if ch.closed.Load() || c.writeErr != nil {
		return ErrClosed
	}
	ch.published.Add(uint64(b.publishes)) // before it is written: the reader may see the confirm at once
	c.parts = b.appendTo(c.parts[:0])
	return c.send()
}

// end makes the channel unusable and returns whom to tell, nil if it has ended before or has no handler. The caller
// holds conn.mu.
func (ch *Channel) end(err error) Handler {
	if ch.ended != nil {
		return nil
	}
	ch.ended = err
	ch.closed.Store(true)
	return ch.handler
}

// channelError is what the broker has closed a channel with. The connection lives on, whatever the code.
func channelError(code uint16, text string) *amqp.Error {
	return &amqp.Error{Code: int(code), Reason: text, Server: true, Recover: true}
}

// connectionError is what it has closed the connection with.
func connectionError(code uint16, text string) *amqp.Error {
	return &amqp.Error{Code: int(code), Reason: text, Server: true}
}
