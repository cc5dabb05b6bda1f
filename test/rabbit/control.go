package rabbit

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/patience"
)

// controlScript runs inside the broker and evaluates what control sends.
//
// Why there: rabbitmqctl starts a whole Erlang VM per call, about a second of
// CPU. erl_call needs a distribution handshake per call, is not on every
// system, and prints terms that have to be parsed. A long-lived erl of the
// node's own would cost another 40 MB and be one more process to freeze, kill
// and restart with the broker. A socket served by the broker itself lives and
// dies with it by construction, needs no package, and takes calls in parallel.
//
//go:embed control.erl
var controlScript []byte

// controlTimeout bounds a control call whose context has no deadline: a frozen
// node never answers.
var controlTimeout = patience.Soon

// control is a pool of connections to the socket that controlScript serves.
// It is safe for concurrent use.
type control struct {
	path string

	mu         sync.Mutex
	idle       []net.Conn
	generation int // counts resets: a connection of an older one is not kept
}

// eval evaluates Erlang expressions (each ended by a comma, the last by a full
// stop) in the node and returns the last one's value: the bytes of an iolist,
// else the term as Erlang prints it. Expressions may have been evaluated even
// if eval fails, unless the error comes from the node.
func (c *control) eval(ctx context.Context, expressions string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	conn, generation, err := c.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("rabbit: control: %w", err)
	}
	// A deadline in the past wakes a blocked read without closing the connection
	// underneath it.
	release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	reply, err := exchange(conn, expressions)
	if !release() || err != nil {
		_ = conn.Close()
		if ctx.Err() != nil && err != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("rabbit: control: %w", err)
		}
	} else {
		c.give(conn, generation)
	}
	if reply[0] != '+' {
		return nil, fmt.Errorf("rabbit: the node refused: %s", reply[1:])
	}
	return reply[1:], nil
}

func exchange(conn net.Conn, text string) ([]byte, error) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	if _, err := conn.Write(append(frame, text...)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, err
	}
	if len(reply) == 0 {
		return nil, errors.New("empty answer")
	}
	return reply, nil
}

func (c *control) take(ctx context.Context) (net.Conn, int, error) {
	c.mu.Lock()
	generation := c.generation
	if n := len(c.idle); n > 0 {
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return conn, generation, nil
	}
	c.mu.Unlock()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	return conn, generation, err
}

func (c *control) give(conn net.Conn, generation int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		_ = conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
}

// reset forgets the connections to a broker that has ended.
func (c *control) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		_ = conn.Close()
	}
	c.idle = nil
	c.generation++
}

// erlBinary writes s as an Erlang binary byte by byte, so that no name, however
// odd, can end a literal.
func erlBinary(s string) string {
	var b strings.Builder
	b.WriteString("<<")
	for i := range len(s) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(s[i])))
	}
	b.WriteString(">>")
	return b.String()
}
