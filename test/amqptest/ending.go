package amqptest

import (
	"errors"
	"io"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

const (
	// closeTimeout bounds how long a client that is told to go, or that goes, is waited for.
	closeTimeout = 3 * time.Second
	// lingering bounds how long a socket stays open so that what was written arrives.
	lingering = time.Second
)

// unreadable ends the connection after its input has ended, properly or not.
func (c *conn) unreadable(err error) {
	var flaw *codec.Error
	switch {
	case errors.As(err, &flaw) && c.state == stateRunning:
		flaw.Text = refusal(c.in.Refused(), c.frameLimit.Load())
		c.shut(flaw)
		c.awaitWritten()
		c.drain(closeTimeout)
	case errors.As(err, &flaw):
		c.hangUp("%v", flaw)
	case c.state >= stateClosing, c.isEnding():
	default:
		c.logf("client unexpectedly closed the connection: %v", err)
	}
}

// shut closes the connection as a broker does: with a code and a text, on which the client is to answer.
func (c *conn) shut(e *codec.Error) {
	if c.state >= stateClosing {
		return
	}
	c.logf("closing: %s", replyText(e))
	c.tellConfirms()
	c.state = stateClosing
	c.beginEnd()
	c.leaveHost()
	c.out.seal(&codec.ConnectionClose{ReplyCode: e.Code, ReplyText: replyText(e), ClassID: e.ClassID, MethodID: e.MethodID})
	c.goodbye = time.AfterFunc(closeTimeout, c.cut)
}

// closeFrom is shut for other goroutines. It returns before the client has answered.
func (c *conn) closeFrom(e *codec.Error) {
	c.beginEnd()
	c.acquire()
	defer c.release()
	if c.state == stateRunning {
		c.shut(e)
	} else if c.state < stateClosing {
		c.cut()
	}
}

// hangUp ends the connection without a word, as RabbitMQ does until it trusts a client.
func (c *conn) hangUp(format string, args ...any) {
	c.logf(format, args...)
	c.done = true
	if c.state < stateClosing {
		c.state = stateClosing
	}
	c.awaitWritten()
	c.drain(lingering)
}

// cut closes the socket without a word. It may be called by anyone at any time.
func (c *conn) cut() {
	c.beginEnd()
	c.deadOnce.Do(func() {
		close(c.dead)
		_ = c.nc.Close()
		c.out.stop()
	})
}

// freeze makes the connection half open: it looks alive from the client's side, and is gone from the broker's.
func (c *conn) freeze() {
	c.frozen.Store(true)
	c.beginEnd()
	c.out.stop()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// beginEnd wakes up whatever waits on the connection's behalf.
func (c *conn) beginEnd() {
	c.endOnce.Do(func() {
		close(c.ending)
		c.out.nudge()
	})
}

// isGone reports whether the socket is closed, or only looks open.
func (c *conn) isGone() bool {
	select {
	case <-c.dead:
		return true
	default:
		return c.frozen.Load()
	}
}

func (c *conn) isEnding() bool {
	select {
	case <-c.ending:
		return true
	default:
		return false
	}
}

// end takes the connection apart.
func (c *conn) end() {
	c.beginEnd()
	c.leaveHost()
	c.state = stateEnded
	c.handshake.Stop()
	if c.goodbye != nil {
		c.goodbye.Stop()
	}
	if c.frozen.Load() {
		c.release()
		<-c.dead
		c.acquire()
	}
	for _, h := range c.held {
		h.timer.Stop()
	}
	c.held = nil
	c.cut()
	c.release()
	c.workers.Wait()
	c.b.forget(c)
}

// leaveHost gives back what the connection holds in its virtual host.
func (c *conn) leaveHost() {
	for _, ch := range c.channels {
		ch.drop()
	}
	clear(c.channels)
	c.unsettled = nil
	if c.host != nil {
		c.host.Close()
		c.host = nil
	}
	c.inform(func(i *connInfo) { i.host, i.channels = nil, 0 })
}

// awaitWritten waits until what is queued for the client has been written.
func (c *conn) awaitWritten() {
	timer := time.AfterFunc(closeTimeout, c.cut)
	defer timer.Stop()
	c.release()
	defer c.acquire()
	c.out.awaitWritten()
}

// drain throws away what the client still sends, until it closes its side or the time is over: closing a socket with
// unread input would destroy what was written last.
func (c *conn) drain(d time.Duration) {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		return // a pipe loses nothing
	}
	c.discard(d)
}

// discard is drain that leaves it to the client to close the connection first.
func (c *conn) discard(d time.Duration) {
	c.release()
	defer c.acquire()
	_ = c.nc.SetReadDeadline(time.Now().Add(d))
	_, _ = io.Copy(io.Discard, c.nc)
}
