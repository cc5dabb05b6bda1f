package proxy

import (
	"net"
	"sync"
)

// Conn is one connection through the proxy. Its methods are safe for concurrent
// use; once the connection has ended they do nothing.
type Conn struct {
	proxy  *Proxy
	number int
	sides  [2]net.Conn // indexed by Side
	flows  [2]*flow    // indexed by Direction

	mu    sync.Mutex
	cut   bool
	halfs [2]bool       // the sides that CloseHalf has closed
	done  chan struct{} // closed when both sides are
}

func newConn(p *Proxy, near, far net.Conn, number int) *Conn {
	c := &Conn{proxy: p, number: number, sides: [2]net.Conn{near, far}, done: make(chan struct{})}
	c.flows[Up] = newFlow(c, Up, near, far)
	c.flows[Down] = newFlow(c, Down, far, near)
	return c
}

// Number counts the connections that were accepted, from 1.
func (c *Conn) Number() int { return c.number }

// Client is the address of the client's end.
func (c *Conn) Client() net.Addr { return c.sides[Client].RemoteAddr() }

// Shape sets how bytes flow in a direction of this connection.
func (c *Conn) Shape(direction Direction, shape Shape) {
	for _, d := range direction.each() {
		if c.flows[d].reshape(shape) {
			c.Cut(RST) // bytes are missing
		}
	}
}

// Cut ends the connection on both sides and reports whether it was open. Bytes
// that the proxy holds are lost.
func (c *Conn) Cut(how How) bool {
	if !c.kill(how) {
		return false
	}
	c.proxy.count(func(s *Stats) { s.Cut++ })
	return true
}

// CloseHalf ends the connection towards one side, and leaves the other untold: its
// connection stays open, what it sends is taken and thrown away, and it hears
// nothing more, as if the peer's machine had gone. Cut or Close end it. It reports
// whether the side was open.
func (c *Conn) CloseHalf(side Side, how How) bool {
	c.mu.Lock()
	if c.cut || c.halfs[side] {
		c.mu.Unlock()
		return false
	}
	c.halfs[side] = true
	both := c.halfs[Client] && c.halfs[Target]
	c.mu.Unlock()
	c.proxy.count(func(s *Stats) { s.Cut++ })
	c.flows[Up].wake()
	c.flows[Down].wake()
	closeAs(c.sides[side], how)
	if both {
		c.kill(how)
	}
	return true
}

// kill closes both sides, unless that has been done.
func (c *Conn) kill(how How) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return false
	}
	c.cut = true
	for _, side := range c.sides {
		closeAs(side, how)
	}
	close(c.done)
	return true
}

// closedHalf reports whether CloseHalf has closed a side.
func (c *Conn) closedHalf(side Side) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halfs[side]
}

// half reports whether CloseHalf has closed either side.
func (c *Conn) half() bool { return c.closedHalf(Client) || c.closedHalf(Target) }

// run moves bytes until the connection has ended in both directions, and returns
// when its goroutines have.
func (c *Conn) run() {
	var wg sync.WaitGroup
	for _, f := range c.flows {
		wg.Go(f.read)
		wg.Go(f.write)
	}
	wg.Wait()
	c.kill(FIN)
}

// Held is how many bytes of a direction the proxy has taken and not forwarded, at
// most Options.Buffer; of Both, the sum.
func (c *Conn) Held(direction Direction) int {
	held := 0
	for _, d := range direction.each() {
		f := c.flows[d]
		f.mu.Lock()
		held += f.held
		f.mu.Unlock()
	}
	return held
}
