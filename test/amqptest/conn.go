package amqptest

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
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
	frozen  atomic.Bool  // half open, see decision
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
