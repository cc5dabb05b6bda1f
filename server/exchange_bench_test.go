package server

import (
	"context"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// What it costs a request to pass from its decoding to its handler and back.
func BenchmarkRequestPassesItsInterceptors(b *testing.B) {
	pass := func(next warren.Handler) warren.Handler {
		return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) { return next(ctx, req) }
	}
	for name, interceptors := range map[string][]warren.Interceptor{"none": nil, "two": {pass, pass}} {
		b.Run(name, func(b *testing.B) {
			s := &Server{}
			reply := &warren.Reply{}
			m := &method{s: s, chain: newChain(interceptors), prepare: func(r *warren.Request) (body, error) {
				return func(context.Context, any) (*warren.Reply, error) { return reply, nil }, nil
			}}
			parent, cancel := context.WithCancel(b.Context())
			defer cancel()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ex := &exchange{s: s, m: m, req: &wire.Request{Request: warren.Request{CallID: "1", Deadline: time.Now().Add(time.Hour)}}}
					ctx := newRequestContext(parent, &ex.req.Request)
					if _, err := m.chain.handle(ctx, ex); err != nil {
						b.Fatal(err)
					}
					ctx.release()
				}
			})
		})
	}
}
