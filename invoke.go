package warren

import (
	"context"
	"slices"
)

// Handler answers one request. On the server's side it is the user's code; on
// the client's side it is the rest of the call, which ends with the reply.
//
// A server calls handlers concurrently. It may call one more than once for the
// same call: after a crash, a lost connection or a client's retry.
type Handler func(ctx context.Context, req *Request) (*Reply, error)

// Interceptor wraps a Handler. One type serves both sides. The first
// interceptor of a list is the outermost: it sees the request first and the
// reply last.
type Interceptor func(next Handler) Handler

// Chain returns h wrapped in the interceptors, the first outermost. Nil
// interceptors are passed over.
func Chain(h Handler, interceptors ...Interceptor) Handler {
	for _, wrap := range slices.Backward(interceptors) {
		if wrap != nil {
			h = wrap(h)
		}
	}
	return h
}

type requestKey struct{}

// ContextWithRequest returns a context that carries the request which a
// handler serves. Servers call it before interceptors and handlers. A server's
// interceptor that calls it must pass on the request that it got: by that, or by the
// one in the context, the server knows whose call it is. A handler finds in its own
// context what the interceptors have passed on.
func ContextWithRequest(ctx context.Context, req *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, req)
}

// RequestFromContext returns the request that the handler or interceptor running
// under ctx serves, or nil outside of these. It must not be used after they have
// returned.
func RequestFromContext(ctx context.Context) *Request {
	req, _ := ctx.Value(requestKey{}).(*Request)
	return req
}
