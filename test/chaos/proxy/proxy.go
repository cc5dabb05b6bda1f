package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Options configures a proxy. The zero value listens on a free loopback port.
type Options struct {
	// Listen is the TCP address to listen on. Default: "127.0.0.1:0".
	Listen string
	// Listener is listened on instead, and closed by the proxy.
	Listener net.Listener
	// Dial reaches the target. Default: a dial of TCP within 5 s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Buffer bounds, in bytes, what the proxy holds of each direction of each
	// connection; what a stalled peer sends beyond it fills the kernel's buffers and
	// then blocks the peer. Default: 256 KiB; at least 1.
	Buffer int
	// Seed makes the jitter of delays repeatable for connections that are made in
	// the same order. Default: 0, which is a seed like any other.
	Seed uint64
}

// Proxy forwards TCP connections to one target. All methods are safe for
// concurrent use, and those that change the flow take effect at once, also on
// bytes that the proxy holds.
type Proxy struct {
	target   string
	options  Options
	listener net.Listener
	running  context.Context
	end      context.CancelFunc
	wg       sync.WaitGroup

	mu       sync.Mutex
	conns    []*Conn // the open ones, in the order in which they were accepted
	shapes   [2]Shape
	refusing bool
	stats    Stats
	closed   bool
}

// Stats counts connections and bytes since New.
type Stats struct {
	Accepted int // connections that clients made, refused ones included
	Refused  int // by Refuse, or because the target could not be reached
	Open     int // at this moment
	Cut      int // by Cut, CloseHalf, or because bytes had been dropped
	// Forwarded and Dropped count bytes, indexed by direction: Up, Down.
	Forwarded, Dropped [2]int64
}

// New listens and forwards to target, a host and port. The target is first
// dialled when a client comes; if that fails, the client sees its connection
// reset. Close ends the proxy.
func New(target string, options Options) (*Proxy, error) {
	if options.Buffer < 0 {
		return nil, errors.New("proxy: Options.Buffer must be at least 1")
	}
	if options.Buffer == 0 {
		options.Buffer = 256 << 10
	}
	if options.Listen == "" {
		options.Listen = "127.0.0.1:0"
	}
	if options.Dial == nil {
		options.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	listener := options.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", options.Listen); err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
	}
	p := &Proxy{target: target, options: options, listener: listener}
	p.running, p.end = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is the host and port that the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Target is the host and port that it forwards to.
func (p *Proxy) Target() string { return p.target }

// URL returns an address with the proxy's host and port in place of its own. A
// URL that cannot be parsed is returned as it is.
func (p *Proxy) URL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.Host = p.Addr()
	return u.String()
}

// Close cuts all connections with RST, stops listening and returns when no
// goroutine of the proxy is left. It is legal more than once.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	conns := slices.Clone(p.conns)
	p.mu.Unlock()
	p.end()
	_ = p.listener.Close()
	for _, c := range conns {
		c.kill(RST)
	}
	p.wg.Wait()
	return nil
}

// Conns returns the open connections, the oldest first.
func (p *Proxy) Conns() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.conns)
}

// Stats returns the counts so far.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := p.stats
	stats.Open = len(p.conns)
	return stats
}

// Shape sets how bytes flow in a direction, on all connections that are open and
// all that will be. It replaces what was set on single connections.
func (p *Proxy) Shape(direction Direction, shape Shape) {
	p.mu.Lock()
	for _, d := range direction.each() {
		p.shapes[d] = shape
	}
	conns := slices.Clone(p.conns)
	p.mu.Unlock()
	for _, c := range conns {
		c.Shape(direction, shape)
	}
}

// Cut ends all open connections, on both sides, and returns how many there were.
// Clients may connect again at once.
func (p *Proxy) Cut(how How) int {
	n := 0
	for _, c := range p.Conns() {
		if c.Cut(how) {
			n++
		}
	}
	return n
}

// CloseHalf does what Conn.CloseHalf does to all open connections, and returns
// how many there were.
func (p *Proxy) CloseHalf(side Side, how How) int {
	n := 0
	for _, c := range p.Conns() {
		if c.CloseHalf(side, how) {
			n++
		}
	}
	return n
}

// Refuse has new connections reset as soon as they are made, or lets them in
// again. Open ones stay.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = on
}

func (p *Proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			if p.running.Err() != nil {
				return
			}
			// Out of descriptors, or a client that left at once: both pass.
			select {
			case <-time.After(5 * time.Millisecond):
			case <-p.running.Done():
			}
			continue
		}
		p.mu.Lock()
		p.stats.Accepted++
		number, refusing := p.stats.Accepted, p.refusing
		p.mu.Unlock()
		if refusing {
			p.refuse(near)
			continue
		}
		p.wg.Go(func() { p.serve(near, number) })
	}
}

func (p *Proxy) refuse(near net.Conn) {
	closeAs(near, RST)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Refused++
}

func (p *Proxy) serve(near net.Conn, number int) {
	far, err := p.options.Dial(p.running, "tcp", p.target)
	if err != nil {
		p.refuse(near)
		return
	}
	c := newConn(p, near, far, number)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.kill(RST)
		return
	}
	for d, shape := range p.shapes {
		c.flows[d].shape = shape
	}
	p.conns = append(p.conns, c)
	p.mu.Unlock()

	c.run()

	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, func(other *Conn) bool { return other == c })
}

func (p *Proxy) count(add func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add(&p.stats)
}
