package server

import (
	"context"
	"errors"
	"sync"

	"github.com/warren-rpc/warren"
)

// chain is the interceptors of a method around its innermost handler. They are composed
// once, as they may keep state of their own, and so the innermost handler has to learn
// whose call it is: by the request that the context carries, or if an interceptor has put
// another one there, by the one that it gets.
type chain struct {
	handler warren.Handler // nil without interceptors

	mu   sync.RWMutex
	open map[*warren.Request]*exchange // that are within the interceptors
}

func newChain(interceptors []warren.Interceptor) *chain {
	c := &chain{open: map[*warren.Request]*exchange{}}
	if len(interceptors) > 0 {
		c.handler = warren.Chain(c.innermost, interceptors...)
	}
	return c
}

// handle calls the interceptors, and they the innermost handler of the exchange.
func (c *chain) handle(ctx context.Context, ex *exchange) (*warren.Reply, error) {
	req := &ex.req.Request
	if c.handler == nil {
		return ex.innermost(ctx, req)
	}
	c.mu.Lock()
	c.open[req] = ex
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.open, req)
		c.mu.Unlock()
	}()
	return c.handler(ctx, req)
}

// innermost is what the interceptors wrap.
func (c *chain) innermost(ctx context.Context, r *warren.Request) (*warren.Reply, error) {
	of := warren.RequestFromContext(ctx)
	c.mu.RLock()
	ex := c.open[of]
	if ex == nil && of != nil { // an interceptor has put another one into the context
		ex = c.open[r]
	}
	c.mu.RUnlock()
	if ex == nil {
		return nil, errForeignContext
	}
	return ex.innermost(ctx, r)
}

// errForeignContext is the end of a request whose call cannot be told.
var errForeignContext = errors.New("warren: an interceptor passes on a context without the request of its call")
