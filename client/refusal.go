package client

import (
	"cmp"
	"context"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/callstate"
)

// refusal is why the brokers refuse this client until somebody changes that. It is
// not changed: another takes its place.
type refusal struct {
	err  error         // nil if they do not
	over chan struct{} // closed when it is not the last one any more
}

func newRefusal(err error) *refusal { return &refusal{err, make(chan struct{})} }

// watchRefusals keeps the refusal up to date, and tells the calls that wait to go out.
func (c *Client) watchRefusals(ctx context.Context) {
	for {
		consumed, consumerChanged, denied := c.replies.consumer.Up().Get()
		// A reply queue that is gone is made again.
		if consumed || !broker.IsPermanent(denied) || broker.IsNotFound(denied) {
			denied = nil
		}
		publishingChanged, publishing := c.publishing.Refused()
		consumingChanged, consuming := c.consuming.Refused()
		refused := cmp.Or(publishing, consuming, denied)
		if last := c.refusal.Load(); (refused == nil) != (last.err == nil) {
			c.refusal.Store(newRefusal(refused))
			close(last.over)
		}
		if refused != nil {
			for _, cl := range c.pending.all() {
				cl.on(callstate.Event{Kind: callstate.Unreachable, Err: errRefused(refused)})
			}
		}
		select {
		case <-consumerChanged:
		case <-publishingChanged:
		case <-consumingChanged:
		case <-ctx.Done():
			return
		}
	}
}

// refused returns the error of what begins while the brokers refuse this client.
func (c *Client) refused() *warren.Error {
	if r := c.refusal.Load(); r.err != nil {
		return errRefused(r.err)
	}
	return nil
}
