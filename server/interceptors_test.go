package server_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rig"
)

func TestInterceptorsFindTheRequestInTheirContextAndMayPassAnotherOneOn(t *testing.T) {
	m := server.Method{Name: "m", Interceptors: []warren.Interceptor{func(next warren.Handler) warren.Handler {
		return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if warren.RequestFromContext(ctx) != req {
				return nil, errors.New("the context has another request")
			}
			other := *req
			other.UserID = "other"
			return next(ctx, &other)
		}
	}}}
	for name, register := range map[string]func(s *server.Server) error{
		"typed": func(s *server.Server) error {
			return server.Handle(s, m, func(ctx context.Context, _ []byte) ([]byte, error) {
				return []byte(warren.RequestFromContext(ctx).UserID), nil
			})
		},
		"raw": func(s *server.Server) error {
			return s.HandleRaw(m, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				if warren.RequestFromContext(ctx) != req {
					return nil, errors.New("the handler's context has another request")
				}
				return &warren.Reply{Body: []byte(req.UserID)}, nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			withAndWithout(t, func(r *rig.Rig, _ *testStore, change func(*server.Config)) {
				s := r.NewServer(change)
				if err := register(s); err != nil {
					r.T.Fatal(err)
				}
				r.Start(s)
				want(r, "the request that the handler finds", ask(r, "1", ""), "other")
			})
		})
	}
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
