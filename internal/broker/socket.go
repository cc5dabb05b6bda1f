package broker

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// socket is the byte stream under one AMQP connection. It puts deadlines on every read
// and write. Reads are for one goroutine at a time, and so are writes.
//
// It has no SetDeadline methods on purpose: the library would then reset the
// read deadline through a goroutine hand-off for each frame.
type socket struct {
	conn net.Conn

	readTill, writeTill time.Time
	readErr             atomic.Pointer[error]
	timeout             time.Duration
	closeOnce           sync.Once
}

// newSocket wraps conn. A read or write that makes no progress for between
// three quarters of the timeout and the timeout fails and closes the
// connection.
func newSocket(conn net.Conn, timeout time.Duration) *socket {
	return &socket{conn: conn, timeout: timeout}
}

// Read implements io.Reader.
func (s *socket) Read(p []byte) (int, error) {
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

// Write implements io.Writer. After an error part of p may be out: whatever followed
// would be read as the rest of it.
func (s *socket) Write(p []byte) (int, error) {
	s.extend(&s.writeTill, s.conn.SetWriteDeadline)
	n, err := s.conn.Write(p)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

// mostAtOnce is the size from which buffers are not written under the same deadline.
const mostAtOnce = 256 << 10

// WriteBuffers implements frames.BuffersWriter.
func (s *socket) WriteBuffers(buffers *net.Buffers) error {
	for rest := *buffers; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+len(rest[n]) <= mostAtOnce) {
			size += len(rest[n])
			n++
		}
		piece := rest[:n]
		rest = rest[n:]
		s.extend(&s.writeTill, s.conn.SetWriteDeadline)
		if _, err := piece.WriteTo(s.conn); err != nil {
			_ = s.Close()
			return err
		}
	}
	return nil
}

// Close closes the connection underneath at once, without waiting for a write
// that is in progress: that write fails.
func (s *socket) Close() error {
	var err error
	s.closeOnce.Do(func() { err = s.conn.Close() })
	return err
}
