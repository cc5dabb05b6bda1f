package proxy

import (
	"net"
	"time"
)

// Direction is a way through the proxy.
type Direction int

// The directions. Up and Down index Stats.Forwarded and Stats.Dropped.
const (
	Up   Direction = iota // from the client to the target
	Down                  // from the target to the client
	Both
)

func (d Direction) each() []Direction {
	if d == Both {
		return []Direction{Up, Down}
	}
	return []Direction{d}
}

// String is "up", "down" or "both".
func (d Direction) String() string { return [...]string{"up", "down", "both"}[d] }

// Shape says how bytes flow in one direction. The zero value forwards them as
// they come. Its fields combine.
type Shape struct {
	// Stall takes bytes in, up to Options.Buffer, and forwards none. They flow when
	// it ends. An end of the stream is held back as well.
	Stall bool
	// Drop takes bytes in without bound and throws them away. TCP never loses bytes
	// out of the middle, so a connection that has lost some is cut with RST as soon
	// as its shape no longer says Drop.
	Drop bool
	// Slice is how many bytes are written at a time, at most; 0 is no bound. Each
	// write is a segment of its own on an idle machine.
	Slice int
	// Delay is how long each byte is held, plus a random part of Jitter. Order is
	// kept. Negative values are 0.
	Delay, Jitter time.Duration
	// Bandwidth bounds the flow, in bytes per second; 0 is no bound.
	Bandwidth int
}

// How is the way in which a connection is ended.
type How int

// The ways.
const (
	RST How = iota // a reset: the peer's next read or write fails, and unread bytes are lost
	FIN            // an orderly end: the peer reads what was forwarded, then end of file
)

// String is "rst" or "fin".
func (h How) String() string { return [...]string{"rst", "fin"}[h] }

// Side is an end of a connection through the proxy.
type Side int

// The sides.
const (
	Client Side = iota
	Target
)

// String is "client" or "target".
func (s Side) String() string { return [...]string{"client", "target"}[s] }

// closeAs closes a connection with an RST or a FIN. A kind of connection that
// knows no RST is closed as it can be.
func closeAs(conn net.Conn, how How) {
	if tcp, ok := conn.(*net.TCPConn); ok && how == RST {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
