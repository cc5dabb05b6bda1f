package proxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// chunk is what one read brought.
type chunk struct {
	bytes []byte
	came  time.Time
	due   time.Time // not forwarded earlier
}

// flow is one direction of a connection: a reader that fills a bounded queue and
// a writer that empties it.
type flow struct {
	conn      *Conn
	direction Direction
	from, to  net.Conn

	mu      sync.Mutex
	shape   Shape
	random  *rand.Rand
	queue   []chunk
	held    int // bytes in the queue
	ended   bool
	lost    bool          // bytes were dropped
	changed chan struct{} // closed and replaced whenever one of the above changes
	next    time.Time     // when the bandwidth allows the next byte
}

func newFlow(c *Conn, d Direction, from, to net.Conn) *flow {
	return &flow{
		conn: c, direction: d, from: from, to: to, changed: make(chan struct{}),
		random: rand.New(rand.NewPCG(c.proxy.options.Seed, uint64(c.number)<<1|uint64(d))),
	}
}

// reshape sets the shape, and reports whether bytes are missing from a flow that
// is to go on.
func (f *flow) reshape(shape Shape) (torn bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shape = shape
	for i := range f.queue { // a delay that is over is over for what waits, too
		if due := f.queue[i].came.Add(max(0, shape.Delay) + max(0, shape.Jitter)); due.Before(f.queue[i].due) {
			f.queue[i].due = due
		}
	}
	if shape.Bandwidth == 0 {
		f.next = time.Time{}
	}
	f.signal()
	return f.lost && !shape.Drop
}

func (f *flow) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signal()
}

// signal tells those that wait; the caller holds mu.
func (f *flow) signal() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// read takes bytes from one side until it ends. It never holds more than the
// proxy's buffer.
func (f *flow) read() {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended = true
		f.signal()
	}()
	size := min(32<<10, f.conn.proxy.options.Buffer)
	buf := make([]byte, size)
	for {
		room, ok := f.room(size)
		if !ok {
			return
		}
		n, err := f.from.Read(buf[:room])
		if n > 0 {
			f.push(buf[:n])
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !f.conn.half() {
				f.conn.kill(RST) // the one side was reset: so is the other
			}
			return
		}
	}
}

// room waits until something may be read, and says how much.
func (f *flow) room(most int) (int, bool) {
	for {
		f.mu.Lock()
		room, changed := f.conn.proxy.options.Buffer-f.held, f.changed
		f.mu.Unlock()
		if room > 0 {
			return min(most, room), true
		}
		select {
		case <-changed:
		case <-f.conn.done:
			return 0, false
		}
	}
}

func (f *flow) push(b []byte) {
	gone := f.conn.half()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shape.Drop || gone {
		f.lost = f.lost || f.shape.Drop
		d := f.direction
		f.conn.proxy.count(func(s *Stats) { s.Dropped[d] += int64(len(b)) })
		return
	}
	now := time.Now()
	due := now.Add(max(0, f.shape.Delay))
	if f.shape.Jitter > 0 {
		due = due.Add(time.Duration(f.random.Int64N(int64(f.shape.Jitter))))
	}
	f.queue = append(f.queue, chunk{append([]byte(nil), b...), now, due})
	f.held += len(b)
	f.signal()
}

// write forwards bytes until the reader has ended and nothing is held.
func (f *flow) write() {
	for {
		piece, ok := f.take()
		if !ok {
			break
		}
		if err := f.send(piece); err != nil {
			if !f.conn.half() {
				f.conn.kill(RST)
				return
			}
		}
		f.mu.Lock()
		f.held -= len(piece)
		f.signal()
		f.mu.Unlock()
	}
	f.finish()
}

// send writes a piece. Bytes for a side that is closed are dropped.
func (f *flow) send(piece []byte) error {
	d := f.direction
	_, err := f.to.Write(piece)
	f.conn.proxy.count(func(s *Stats) {
		if err != nil {
			s.Dropped[d] += int64(len(piece))
		} else {
			s.Forwarded[d] += int64(len(piece))
		}
	})
	return err
}

// finish passes the end of the stream on, unless a side is closed half: then the
// other is not to hear of it.
func (f *flow) finish() {
	if f.conn.half() {
		// The side that is left may be reset, or closed, only by its own peer or by Cut.
		return
	}
	if tcp, ok := f.to.(interface{ CloseWrite() error }); ok {
		_ = tcp.CloseWrite()
		return
	}
	_ = f.to.Close()
}

// take waits until bytes may be written, and takes them from the queue. They
// count as held until they are written.
func (f *flow) take() ([]byte, bool) {
	for {
		piece, wait, changed, done := f.look(time.Now())
		if done {
			return nil, false
		}
		if piece != nil {
			return piece, true
		}
		var timer *time.Timer
		var tick <-chan time.Time
		if wait > 0 {
			timer = time.NewTimer(wait)
			tick = timer.C
		}
		select {
		case <-changed:
		case <-tick:
		case <-f.conn.done:
			done = true
		}
		if timer != nil {
			timer.Stop()
		}
		if done {
			return nil, false
		}
	}
}

// look returns what may be written now; or how long to wait, 0 for a change only;
// or that nothing will come.
func (f *flow) look(now time.Time) (piece []byte, wait time.Duration, changed <-chan struct{}, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.shape.Stall:
		return nil, 0, f.changed, false
	case len(f.queue) == 0:
		return nil, 0, f.changed, f.ended
	}
	head := &f.queue[0]
	if ready := later(head.due, f.next); ready.After(now) {
		return nil, ready.Sub(now), f.changed, false
	}
	size := len(head.bytes)
	if f.shape.Slice > 0 {
		size = min(size, f.shape.Slice)
	}
	if rate := f.shape.Bandwidth; rate > 0 {
		size = min(size, max(1, rate/100)) // a hundredth of a second at a time
		f.next = later(f.next, now).Add(time.Duration(size) * time.Second / time.Duration(rate))
	}
	piece, head.bytes = head.bytes[:size], head.bytes[size:]
	if len(head.bytes) == 0 {
		f.queue = f.queue[1:]
	}
	return piece, 0, f.changed, false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
