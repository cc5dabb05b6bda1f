package client

import (
	"cmp"
	"context"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/callstate"
)

// reach says whether the brokers can be reached. It is not changed: another takes its
// place.
type reach struct {
	err  error         // why they refuse this client, until somebody changes that; nil if they do not
	over chan struct{} // closed when it is not the last one any more
}

func newReach(err error) *reach { return &reach{err, make(chan struct{})} }

// watchReach keeps reach up to date, and tells the calls that wait to go out.
func (c *Client) watchReach(ctx context.Context) {
	for {
		consumed, consumerChanged, denied := c.replies.consumer.Up().Get()
		// A reply queue that is gone is made again.
		if consumed || !broker.IsPermanent(denied) || broker.IsNotFound(denied) {
			denied = nil
		}
		publishingChanged, publishing := c.publishing.Refused()
		consumingChanged, consuming := c.consuming.Refused()
		why := cmp.Or(publishing, consuming, denied)
		if last := c.reach.Load(); (why == nil) != (last.err == nil) {
			c.reach.Store(newReach(why))
			close(last.over)
		}
		if why != nil {
			for _, cl := range c.pending.all() {
				cl.on(time.Now(), callstate.Event{Kind: callstate.Unreachable, Err: errRefused(why)})
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

// unreachable returns the error of what begins while the brokers refuse this client.
func (c *Client) unreachable() *warren.Error {
	if r := c.reach.Load(); r.err != nil {
		return errRefused(r.err)
	}
	return nil
}
