package amqptest

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/test/amqptest/internal/codec"
	"github.com/warren-rpc/warren/test/amqptest/internal/vhost"
)

// conn is one client connection. Three goroutines serve it: serve reads and acts, write writes, and beat, once a
// heartbeat is agreed on, sends heartbeats and looks for the client's.
type conn struct {
	b      *Broker
	id     int
	nc     net.Conn
	in     *codec.Reader
	out    *outbox
	source *source

	// exec holds a token for whoever acts on the connection: the reader, unless it waits for input; or a timer or
	// another goroutine that has something to do on it. It is a channel so that waiting for it is waiting in the
	// sense of testing/synctest.
	exec chan struct{}

	ending    chan struct{} // closed when the connection begins to end: what waits for anything else gives up
	dead      chan struct{} // closed when the socket is
	ended     chan struct{} // closed when all of the connection's goroutines have ended
	endOnce   sync.Once
	deadOnce  sync.Once
	workers   sync.WaitGroup
	handshake *time.Timer

	received   atomic.Uint64 // counts reads
	sent       atomic.Uint64 // counts writes
	frameLimit atomic.Uint32 // what the client takes

	paused  atomic.Int32 // more than 0: what the client sends is not read, so missing heartbeats say nothing
	frozen  atomic.Bool  // half open, see verdict
	stalled stall

	// Those below belong to the holder of exec.

	state       state
	done        bool // the reader is to end
	publisher   bool
	account     *account
	understands capabilities
	channelMax  uint16
	host        *vhost.Conn
	channels    map[uint16]*channel
	unsettled   []*channel // those with confirms to tell
	held        []*heldInbound
	goodbye     *time.Timer

	mu   sync.Mutex // guards info
	info connInfo
}

type state uint8

const (
	stateStarting state = iota // start-ok is next
	stateTuning                // tune-ok
	stateOpening               // open
	stateRunning
	stateClosing // the broker has sent close
	stateEnded
)

// String is RabbitMQ's name of the state, as its reply texts have it.
func (s state) String() string {
	return [...]string{"starting", "tuning", "opening", "running", "closing", "closed"}[s]
}

// connInfo is what others may look at.
type connInfo struct {
	name, user, vhost string
	host              *vhost.Host
	since             time.Time
	channels          int
	published         bool
	hearsBlocked      bool
	blocked           bool // by an alarm
}

const (
	// closeTimeout bounds how long a client that is told to go, or that goes, is waited for.
	closeTimeout = 3 * time.Second
	// lingering bounds how long a socket stays open so that what was written arrives.
	lingering = time.Second
)

func newConn(b *Broker, id int, nc net.Conn) *conn {
	c := &conn{
		b: b, id: id, nc: nc, source: newSource(id),
		exec: make(chan struct{}, 1), ending: make(chan struct{}), dead: make(chan struct{}), ended: make(chan struct{}),
		channels: map[uint16]*channel{},
	}
	c.out = newOutbox(&b.outgoing)
	c.in = codec.NewReader((*intake)(c))
	c.info.since = time.Now()
	c.frameLimit.Store(codec.MinFrameSize)
	return c
}

func (c *conn) serve() {
	defer c.b.running.Done()
	c.acquire()
	c.handshake = time.AfterFunc(c.b.options.HandshakeTimeout, func() {
		c.logf("the handshake has taken longer than %v", c.b.options.HandshakeTimeout)
		c.cut()
	})
	if c.greet() {
		c.workers.Add(1)
		go c.write()
		c.talk()
	}
	c.end()
}

// talk takes frames until the connection ends. What has come when the socket is closed from here is not looked at any
// more: a broker that was killed would not have done so either.
func (c *conn) talk() {
	for !c.done && !c.isGone() {
		f, err := c.in.ReadFrame()
		if err != nil {
			c.unreadable(err)
			return
		}
		c.gate()
		c.arriveFrame(f)
	}
}

// unreadable ends the connection after its input has ended, properly or not.
func (c *conn) unreadable(err error) {
	var flaw *codec.Error
	switch {
	case errors.As(err, &flaw) && c.state == stateRunning:
		flaw.Text = refusal(c.in.Refused(), c.frameLimit.Load())
		c.shut(flaw)
		c.awaitWritten()
		c.drain(closeTimeout)
	case errors.As(err, &flaw):
		c.hangUp("%v", flaw)
	case c.state >= stateClosing, c.isEnding():
	default:
		c.logf("client unexpectedly closed the connection: %v", err)
	}
}

// intake is the connection as its Reader reads it. Before it waits for input it tells what the input so far has led
// to: so confirms are gathered for as long as there is something to do, and no longer.
type intake conn

func (in *intake) Read(p []byte) (int, error) {
	c := (*conn)(in)
	c.tellConfirms()
	c.release()
	n, err := c.nc.Read(p)
	c.acquire()
	c.received.Add(1)
	return n, err
}

func (c *conn) acquire() { c.exec <- struct{}{} }
func (c *conn) release() { <-c.exec }

// gate waits, before the next frame is looked at, until the client takes what was written for it, and while the
// connection is stalled.
func (c *conn) gate() {
	if c.out.full() {
		c.tellConfirms()
		c.waitFor(func() { c.out.awaitRoom(c.ending) })
	}
	if c.stalled.on.Load() {
		c.waitFor(func() { c.stalled.await(c.ending) })
	}
}

// waitFor waits as long as wait does, while nothing is read. Others may act meanwhile.
func (c *conn) waitFor(wait func()) {
	c.paused.Add(1)
	c.release()
	wait()
	c.acquire()
	c.paused.Add(-1)
}

// shut closes the connection as a broker does: with a code and a text, on which the client is to answer.
func (c *conn) shut(e *codec.Error) {
	if c.state >= stateClosing {
		return
	}
	c.logf("closing: %s", replyText(e))
	c.tellConfirms()
	c.state = stateClosing
	c.beginEnd()
	c.leaveHost()
	c.out.seal(&codec.ConnectionClose{ReplyCode: e.Code, ReplyText: replyText(e), ClassID: e.ClassID, MethodID: e.MethodID})
	c.goodbye = time.AfterFunc(closeTimeout, c.cut)
}

// closeFrom is shut for other goroutines. It returns before the client has answered.
func (c *conn) closeFrom(e *codec.Error) {
	c.beginEnd()
	c.acquire()
	defer c.release()
	if c.state == stateRunning {
		c.shut(e)
	} else if c.state < stateClosing {
		c.cut()
	}
}

// hangUp ends the connection without a word, as RabbitMQ does until it trusts a client.
func (c *conn) hangUp(format string, args ...any) {
	c.logf(format, args...)
	c.done = true
	if c.state < stateClosing {
		c.state = stateClosing
	}
	c.awaitWritten()
	c.drain(lingering)
}

// cut closes the socket without a word. It may be called by anyone at any time.
func (c *conn) cut() {
	c.beginEnd()
	c.deadOnce.Do(func() {
		close(c.dead)
		_ = c.nc.Close()
		c.out.stop()
	})
}

// freeze makes the connection half open: it looks alive from the client's side, and is gone from the broker's.
func (c *conn) freeze() {
	c.frozen.Store(true)
	c.beginEnd()
	c.out.stop()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// beginEnd wakes up whatever waits on the connection's behalf.
func (c *conn) beginEnd() {
	c.endOnce.Do(func() {
		close(c.ending)
		c.out.nudge()
	})
}

// isGone reports whether the socket is closed, or only looks open.
func (c *conn) isGone() bool {
	select {
	case <-c.dead:
		return true
	default:
		return c.frozen.Load()
	}
}

func (c *conn) isEnding() bool {
	select {
	case <-c.ending:
		return true
	default:
		return false
	}
}

// end takes the connection apart.
func (c *conn) end() {
	c.beginEnd()
	c.leaveHost()
	c.state = stateEnded
	c.handshake.Stop()
	if c.goodbye != nil {
		c.goodbye.Stop()
	}
	if c.frozen.Load() {
		c.release()
		<-c.dead
		c.acquire()
	}
	for _, h := range c.held {
		h.timer.Stop()
	}
	c.held = nil
	c.cut()
	c.release()
	c.workers.Wait()
	c.b.forget(c)
}

// leaveHost gives back what the connection holds in its virtual host.
func (c *conn) leaveHost() {
	for _, ch := range c.channels {
		ch.drop()
	}
	clear(c.channels)
	c.unsettled = nil
	if c.host != nil {
		c.host.Close()
		c.host = nil
	}
	c.inform(func(i *connInfo) { i.host, i.channels = nil, 0 })
}

// awaitWritten waits until what is queued for the client has been written.
func (c *conn) awaitWritten() {
	timer := time.AfterFunc(closeTimeout, c.cut)
	defer timer.Stop()
	c.release()
	defer c.acquire()
	c.out.awaitWritten()
}

// drain throws away what the client still sends, until it closes its side or the time is over: closing a socket with
// unread input would destroy what was written last.
func (c *conn) drain(d time.Duration) {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		return // a pipe loses nothing
	}
	c.discard(d)
}

// discard is drain that leaves it to the client to close the connection first.
func (c *conn) discard(d time.Duration) {
	c.release()
	defer c.acquire()
	_ = c.nc.SetReadDeadline(time.Now().Add(d))
	_, _ = io.Copy(io.Discard, c.nc)
}

func (c *conn) inform(change func(*connInfo)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.info)
}

func (c *conn) inHost(h *vhost.Host) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info.host == h
}

func (c *conn) logf(format string, args ...any) {
	c.b.logf("connection %d from %v: "+format, append([]any{c.id, c.nc.RemoteAddr()}, args...)...)
}

// sleep waits, and reports whether the connection is still wanted.
func (c *conn) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ending:
		return false
	}
}
