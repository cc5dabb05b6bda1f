package broker

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

const (
	// mostCorked is how many bytes a corked socket collects before it writes them
	// anyway.
	mostCorked = 64 << 10
	// copyBelow is the size from which a write is not copied behind others.
	copyBelow = 16 << 10
)

// socket is the byte stream under one AMQP connection. It joins the writes
// made between Cork and Uncork into one, because the library writes once per
// frame group, it keeps from the library what that cannot read, and it puts
// deadlines on every read and write.
//
// It has no SetDeadline methods on purpose: the library would then reset the
// read deadline through a goroutine hand-off for each frame.
type socket struct {
	conn   net.Conn
	frames *frames.Reader

	mu        sync.Mutex // held while writing, so that writes keep their order
	buf       []byte
	corks     int
	err       error // sticky: after a failed write nothing more goes out
	writeTill time.Time

	readTill  time.Time // touched by the reader alone
	readErr   atomic.Pointer[error]
	timeout   time.Duration
	closeOnce sync.Once
}

// newSocket wraps conn. A read or write that makes no progress for between
// three quarters of the timeout and the timeout fails and closes the
// connection.
func newSocket(conn net.Conn, timeout time.Duration) *socket {
	s := &socket{conn: conn, timeout: timeout}
	s.frames = frames.NewReader(timedReader{s})
	return s
}

// Read implements io.Reader.
func (s *socket) Read(p []byte) (int, error) { return s.frames.Read(p) }

// timedReader reads from the connection itself.
type timedReader struct{ s *socket }

func (r timedReader) Read(p []byte) (int, error) {
	s := r.s
	s.extend(&s.readTill, s.conn.SetReadDeadline)
	n, err := s.conn.Read(p)
	if err != nil {
		failure := err // only this one moves to the heap
		s.readErr.CompareAndSwap(nil, &failure)
		// Free a writer that is stuck: while it holds the library's locks the
		// library cannot shut down.
		_ = s.Close()
	}
	return n, err
}

// readError returns why nothing more can be read, nil if that is not known or this
// side has closed the connection.
func (s *socket) readError() error {
	if err := s.readErr.Load(); err != nil && !errors.Is(*err, net.ErrClosed) && !errors.Is(*err, io.ErrClosedPipe) {
		return *err
	}
	return nil
}

// extend moves a deadline on when a quarter of it is used up, which spares most
// of the calls into the runtime's timers.
func (s *socket) extend(till *time.Time, set func(time.Time) error) {
	if now := time.Now(); till.Sub(now) < s.timeout*3/4 {
		*till = now.Add(s.timeout)
		_ = set(*till) // a closed connection is told by the read or write itself
	}
}

// Write implements io.Writer. While the socket is corked it may only have
// copied p.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	if s.corks == 0 || len(s.buf)+len(p) > mostCorked || len(p) >= copyBelow {
		s.flush(p)
		if s.err != nil {
			return 0, s.err
		}
		return len(p), nil
	}
	s.buf = append(s.buf, p...)
	return len(p), nil
}

// flush writes what was collected, then p. The caller holds mu.
func (s *socket) flush(p []byte) {
	if len(s.buf) == 0 && len(p) == 0 || s.err != nil {
		return
	}
	s.extend(&s.writeTill, s.conn.SetWriteDeadline)
	switch {
	case len(p) == 0:
		_, s.err = s.conn.Write(s.buf)
	case len(s.buf) == 0:
		_, s.err = s.conn.Write(p)
	default:
		parts := net.Buffers{s.buf, p}
		_, s.err = parts.WriteTo(s.conn)
	}
	s.buf = s.buf[:0]
	if s.err != nil {
		_ = s.Close()
	}
}

// Cork has writes collected until the matching Uncork. Corks nest, so that
// several goroutines may cork at once.
func (s *socket) Cork() {
	s.mu.Lock()
	s.corks++
	s.mu.Unlock()
}

// Uncork writes what has been collected, if no other cork holds it.
func (s *socket) Uncork() {
	s.mu.Lock()
	if s.corks--; s.corks == 0 {
		s.flush(nil)
	}
	s.mu.Unlock()
}

// Close closes the connection underneath at once, without waiting for a write
// that is in progress: that write fails.
func (s *socket) Close() error {
	var err error
	s.closeOnce.Do(func() { err = s.conn.Close() })
	return err
}
