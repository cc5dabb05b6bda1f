package amqptest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is how many bytes may be under way in each direction of a pipe. A socket has a buffer too, and clients
// count on it: heartbeats that are written while the other side does not read, for one.
const pipeBuffer = 64 << 10

// newPipe returns the two ends of a connection in memory. Unlike net.Pipe it has a buffer. What was written before an
// end was closed can still be read at the other. It waits in the sense of testing/synctest.
func newPipe() (net.Conn, net.Conn) {
	there, back := newPipeHalf(), newPipeHalf()
	return &pipeEnd{in: there, out: back}, &pipeEnd{in: back, out: there}
}

// pipeEnd is one end of a pipe.
type pipeEnd struct {
	in, out *pipeHalf
}

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }

func (p *pipeEnd) Close() error {
	p.in.close(true)
	p.out.close(false)
	return nil
}

func (p *pipeEnd) LocalAddr() net.Addr  { return pipeAddr{} }
func (p *pipeEnd) RemoteAddr() net.Addr { return pipeAddr{} }

func (p *pipeEnd) SetDeadline(t time.Time) error {
	_ = p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error {
	p.in.setDeadline(&p.in.reading, t)
	return nil
}

func (p *pipeEnd) SetWriteDeadline(t time.Time) error {
	p.out.setDeadline(&p.out.writing, t)
	return nil
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// pipeHalf is what flows in one direction.
type pipeHalf struct {
	mu               sync.Mutex
	changed          sync.Cond
	data             []byte
	unread, unsent   bool // the end that reads, or that writes, is closed
	reading, writing pipeDeadline
}

type pipeDeadline struct {
	at    time.Time
	timer *time.Timer
}

func newPipeHalf() *pipeHalf {
	h := &pipeHalf{}
	h.changed.L = &h.mu
	return h
}

func (h *pipeHalf) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.unread:
			return 0, io.ErrClosedPipe
		case h.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case len(h.data) > 0 || len(b) == 0:
			n := copy(b, h.data)
			h.data = h.data[:copy(h.data, h.data[n:])]
			h.changed.Broadcast()
			return n, nil
		case h.unsent:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *pipeHalf) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for written := 0; ; {
		switch {
		case h.unread || h.unsent:
			return written, io.ErrClosedPipe
		case h.writing.passed():
			return written, os.ErrDeadlineExceeded
		}
		n := min(len(b)-written, pipeBuffer-len(h.data))
		if n > 0 {
			h.data = append(h.data, b[written:written+n]...)
			h.changed.Broadcast()
		}
		if written += n; written == len(b) {
			return written, nil
		}
		h.changed.Wait()
	}
}

// close closes the end that reads, or the one that writes.
func (h *pipeHalf) close(reader bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reader {
		h.unread, h.data = true, nil
		h.reading.stop()
	} else {
		h.unsent = true
		h.writing.stop()
	}
	h.changed.Broadcast()
}

// setDeadline wakes up those who wait, now for a deadline that has passed, and otherwise in time.
func (h *pipeHalf) setDeadline(d *pipeDeadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.stop()
	d.at = t
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		h.changed.Broadcast()
		return
	}
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, h.wake)
	} else {
		d.timer.Reset(wait)
	}
}

func (h *pipeHalf) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed.Broadcast()
}

func (d *pipeDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *pipeDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
