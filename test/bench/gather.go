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

	done chan struct{} // closed when the sender has ended
}

const (
	gatherMost = 1 << 20     // bytes that may be gathered before Write waits
	readAhead  = 64 << 10    // bytes
	lastWrite  = time.Second // how long Close may take to send what is gathered
)

func newGatheringConn(conn net.Conn) *gatheringConn {
	c := &gatheringConn{Conn: conn, ahead: make([]byte, readAhead), done: make(chan struct{})}
	c.work.L, c.room.L = &c.mu, &c.mu
	go c.send()
	return c
}

func (c *gatheringConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.gathered) > gatherMost && c.failed == nil {
		c.room.Wait()
	}
	if c.failed != nil {
		return 0, c.failed
	}
	if len(c.gathered) == 0 {
		c.work.Signal()
	}
	c.gathered = append(c.gathered, p...)
	return len(p), nil
}

// send writes what is gathered until the connection is closed or fails.
func (c *gatheringConn) send() {
	defer close(c.done)
	var spare []byte
	for ended := false; !ended; {
		c.mu.Lock()
		for len(c.gathered) == 0 && c.failed == nil {
			c.work.Wait()
		}
		c.mu.Unlock()
		runtime.Gosched() // whoever is about to write may do so first
		c.mu.Lock()
		out := c.gathered
		c.gathered = spare[:0]
		ended = c.failed != nil
		c.mu.Unlock()
		c.room.Broadcast()

		if len(out) > 0 {
			if _, err := c.Conn.Write(out); err != nil {
				c.fail(err)
				_ = c.Conn.Close()
				return
			}
		}
		spare = out
	}
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
	<-c.done
	return c.Conn.Close()
}
