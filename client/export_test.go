package client

import (
	"sync/atomic"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/policy"
)

// Method is what the client knows of a method.
func (c *Client) Method(name string) *policy.Method { return c.policies.Method(name) }

// CountLocks counts how often the locks of c's calls are taken. c must not have made any.
func CountLocks(c *Client) *atomic.Int64 {
	n := &atomic.Int64{}
	OnLock(c, func() { n.Add(1) })
	return n
}

// OnLock has f called whenever the lock of one of c's calls is about to be taken. c must
// not have made any.
func OnLock(c *Client, f func()) { c.locking = f }

// Requeue puts the first attempt of the call of that ID into the send queue once more, as
// if the broker had closed its channel over another message.
func Requeue(c *Client, callID string) error {
	publish := &c.pending.get(callID).first.publish
	*publish = broker.Publishing{Key: publish.Key, Mandatory: true, Msg: publish.Msg, Sink: publish.Sink}
	return c.publisher.Publish(publish)
}

// NewID returns a call ID as the client makes them.
func NewID() string { return newID() }
