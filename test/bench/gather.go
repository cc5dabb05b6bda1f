package bench

import (
	"net"
	"runtime"
	"sync"
	"time"
)

// gatheringConn is a connection for a library that writes each message by itself.
// Write only notes the bytes; a goroutine sends all that have come together
// meanwhile with one call of the system, as soon as it has its turn, so that
// nothing waits for a timer. It also reads more at a time than the library does.
//
// An error of a write closes the connection, and later writes return it. What had
// been noted is then lost, as is what the system still had to send.
type gatheringConn struct {
	net.Conn
	ahead, unread []byte // a buffer, and what of it has not been asked for

	mu       sync.Mutex // guards what follows
	gathered []byte
	failed   error     // of a write, or net.ErrClosed
	work     sync.Cond // something is gathered, or failed is set
	room     sync.Cond // gathered has been taken, or failed is set

	sending sync.Mutex // held while bytes go out, which keeps their order
	spare   []byte     // guarded by sending: will be gathered next

	done chan struct{} // closed when the sender has ended
}

const (
	gatherMost = 1 << 20     // bytes that may be gathered before Write waits
	uncopied   = 16 << 10    // bytes from which on a write is sent without a copy
	readAhead  = 64 << 10    // bytes
	lastWrite  = time.Second // how long Close may take to send what is gathered
)

func newGatheringConn(conn net.Conn) *gatheringConn {
	c := &gatheringConn{Conn: conn, ahead: make([]byte, readAhead), done: make(chan struct{})}
	c.work.L, c.room.L = &c.mu, &c.mu
	go c.send()
	return c
}

// Write is for one goroutine at a time.
func (c *gatheringConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	for len(c.gathered) > gatherMost && c.failed == nil {
		c.room.Wait()
	}
	err := c.failed
	large := len(p) >= uncopied
	if err == nil && !large {
		if len(c.gathered) == 0 {
			c.work.Signal()
		}
		c.gathered = append(c.gathered, p...)
	}
	c.mu.Unlock()
	if err == nil && large {
		err = c.flush(p)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// send flushes until the connection is closed or fails.
func (c *gatheringConn) send() {
	defer close(c.done)
	for {
		c.mu.Lock()
		for len(c.gathered) == 0 && c.failed == nil {
			c.work.Wait()
		}
		failed := c.failed
		c.mu.Unlock()
		if failed != nil {
			return
		}
		runtime.Gosched() // whoever is about to write may do so first
		_ = c.flush(nil)
	}
}

// flush sends what is gathered, and then more.
func (c *gatheringConn) flush(more []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	out := c.gathered
	c.gathered = c.spare[:0]
	c.mu.Unlock()
	c.room.Broadcast()

	var err error
	if len(more) > 0 {
		parts := net.Buffers{out, more}
		_, err = parts.WriteTo(c.Conn)
	} else if len(out) > 0 {
		_, err = c.Conn.Write(out)
	}
	c.spare = out
	if err != nil {
		c.fail(err)
		_ = c.Conn.Close()
	}
	return err
}

// fail wakes all who wait. The first reason is kept.
func (c *gatheringConn) fail(err error) {
	c.mu.Lock()
	if c.failed == nil {
		c.failed = err
	}
	c.mu.Unlock()
	c.work.Broadcast()
	c.room.Broadcast()
}

func (c *gatheringConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		if len(p) >= len(c.ahead) {
			return c.Conn.Read(p)
		}
		n, err := c.Conn.Read(c.ahead)
		if n == 0 {
			return 0, err
		}
		c.unread = c.ahead[:n]
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// Close sends what is gathered, such as the library's answer to a close, and ends.
func (c *gatheringConn) Close() error {
	c.fail(net.ErrClosed)
	_ = c.SetWriteDeadline(time.Now().Add(lastWrite))
	_ = c.flush(nil)
	err := c.Conn.Close()
	<-c.done
	return err
}
