package bench

import (
	"context"
	"net"
	"sync/atomic"
)

// traffic is how many bytes this process has read and written on connections of
// dialCounted. Like its CPU time it is a figure of the whole process.
var traffic atomic.Int64

// countedConn counts what passes.
type countedConn struct{ net.Conn }

// dialCounted connects. What the connection carries is part of traffic.
func dialCounted(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return countedConn{conn}, nil
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	traffic.Add(int64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	traffic.Add(int64(n))
	return n, err
}
