package server_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rig"
)

func TestInterceptorsFindTheRequestInTheirContextAndMayPassAnotherOneOn(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer(func(*server.Config) {})
		m := server.Method{Name: "m", Interceptors: []warren.Interceptor{func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				if warren.RequestFromContext(ctx) != req {
					r.T.Error("the context has another request")
				}
				other := *req
				other.UserID = "other"
				return next(ctx, &other)
			}
		}}}
		if err := server.Handle(s, m, func(ctx context.Context, _ []byte) ([]byte, error) {
			return []byte(warren.RequestFromContext(ctx).UserID), nil
		}); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		if reply, err := r.Client().Call(r.T.Context(), "m", nil); err != nil || string(reply.Body) != "other" {
			r.T.Errorf("%v, %v", reply, err)
		}
	})
}

// A context that outlives its request, or names another one, leads to no handler.
func TestInterceptorsReachNoHandlerByAnotherRequestsContext(t *testing.T) {
	for name, passed := range map[string]func(ctx, ended context.Context) context.Context{
		"of one that has ended": func(_, ended context.Context) context.Context { return ended },
		"of nobody's": func(ctx, _ context.Context) context.Context {
			return warren.ContextWithRequest(ctx, &warren.Request{Method: "m"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				first := make(chan context.Context, 1)
				var told atomic.Value
				m := server.Method{Name: "m", Concurrency: 1, Interceptors: []warren.Interceptor{func(next warren.Handler) warren.Handler {
					return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
						if len(first) == 0 {
							first <- ctx
							return &warren.Reply{}, nil
						}
						_, err := next(passed(ctx, <-first), req)
						told.Store(err)
						return nil, err
					}
				}}}
				r.Serve(m, func(context.Context, *warren.Request) (*warren.Reply, error) {
					runs.Add(1)
					return &warren.Reply{}, nil
				})
				c := r.Client()
				if _, err := c.Call(r.T.Context(), "m", nil); err != nil {
					r.T.Fatal(err)
				}
				_, err := c.Call(r.T.Context(), "m", nil)
				rig.WantError(r.T, err, warren.CodeUnknown, "", warren.NotExecuted)
				if err, _ := told.Load().(error); err == nil || !strings.Contains(err.Error(), "an interceptor passes a context on") || runs.Load() != 0 {
					r.T.Errorf("%v, %d runs", err, runs.Load())
				}
			})
		})
	}
}
