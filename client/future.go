package client

import (
	"context"

	"github.com/warren-rpc/warren"
)

// Future is a call that runs in the background.
type Future struct {
	done  chan struct{}
	reply *warren.Reply
	err   error
}

// Go begins a call as [Client.Call] does and returns at once. The call ends by
// its deadline whether or not anybody waits for it.
func (c *Client) Go(ctx context.Context, method string, body []byte, opts ...CallOption) *Future {
	f := &Future{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.reply, f.err = c.Call(ctx, method, body, opts...)
	}()
	return f
}

// Done is closed when the call has ended.
func (f *Future) Done() <-chan struct{} { return f.done }

// Result waits for the end of the call and returns what Call would have.
func (f *Future) Result() (*warren.Reply, error) {
	<-f.done
	return f.reply, f.err
}
