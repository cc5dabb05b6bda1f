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

// An interceptor may put another request into the context, or pass another one on: either
// says whose call it is. One that has ended says nothing, nor does a context without any.
func TestInterceptorsReachTheHandlerByTheContextOrTheRequestThatTheyGot(t *testing.T) {
	type pair struct {
		ctx context.Context
		req *warren.Request
	}
	foreign := func(of pair) pair {
		req := *of.req
		return pair{warren.ContextWithRequest(of.ctx, &req), &req}
	}
	for name, test := range map[string]struct {
		passed  func(got, ended pair) pair
		reaches bool
	}{
		"both":        {func(got, _ pair) pair { return got }, true},
		"the context": {func(got, _ pair) pair { return pair{got.ctx, foreign(got).req} }, true},
		"the request": {func(got, _ pair) pair { return pair{foreign(got).ctx, got.req} }, true},
		"a context of nothing": {
			func(got, _ pair) pair { return pair{context.Background(), got.req} }, false,
		},
		"neither":                     {func(got, _ pair) pair { return foreign(got) }, false},
		"those of one that has ended": {func(_, ended pair) pair { return ended }, false},
		"the context of one that has ended": {
			func(got, ended pair) pair { return pair{ended.ctx, foreign(got).req} }, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				first := make(chan pair, 1)
				var told atomic.Value
				m := server.Method{Name: "m", Concurrency: 1, Interceptors: []warren.Interceptor{func(next warren.Handler) warren.Handler {
					return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
						if len(first) == 0 {
							first <- pair{ctx, req}
							return &warren.Reply{}, nil
						}
						passed := test.passed(pair{ctx, req}, <-first)
						reply, err := next(passed.ctx, passed.req)
						if err != nil {
							told.Store(err)
						}
						return reply, err
					}
				}}}
				r.Serve(m, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
					runs.Add(1)
					if warren.RequestFromContext(ctx) != req {
						r.T.Error("the handler's context has another request")
					}
					return &warren.Reply{}, nil
				})
				c := r.Client()
				if _, err := c.Call(r.T.Context(), "m", nil); err != nil {
					r.T.Fatal(err)
				}
				_, err := c.Call(r.T.Context(), "m", nil)
				if test.reaches {
					if err != nil || runs.Load() != 1 {
						r.T.Errorf("%v, %d runs", err, runs.Load())
					}
					return
				}
				rig.WantError(r.T, err, warren.CodeUnknown, "", warren.NotExecuted)
				if err, _ := told.Load().(error); err == nil || !strings.Contains(err.Error(), "a context without the request of its call") || runs.Load() != 0 {
					r.T.Errorf("%v, %d runs", err, runs.Load())
				}
			})
		})
	}
}
