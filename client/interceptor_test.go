package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rig"
)

// around makes an interceptor of a function that may call next.
func around(f func(ctx context.Context, req *warren.Request, next warren.Handler) (*warren.Reply, error)) warren.Interceptor {
	return func(next warren.Handler) warren.Handler {
		return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) { return f(ctx, req, next) }
	}
}

// with is the configuration of a client that has the interceptors.
func with(interceptors ...warren.Interceptor) func(*client.Config) {
	return func(cfg *client.Config) { cfg.Interceptors = interceptors }
}

func TestInterceptorsWrapEveryCallTheFirstOutermost(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		var order []string
		mark := func(name string) warren.Interceptor {
			return around(func(ctx context.Context, req *warren.Request, next warren.Handler) (*warren.Reply, error) {
				order = append(order, name+" in")
				defer func() { order = append(order, name+" out") }()
				return next(ctx, req)
			})
		}
		c := r.Client(with(mark("outer"), nil, mark("inner")))
		mustCall(r, c, "echo", "x")
		if err := c.Notify(r.T.Context(), "echo", nil); err != nil {
			r.T.Error(err)
		}
		if _, err := client.Call[[]byte](r.T.Context(), c, "echo", []byte("x")); err != nil {
			r.T.Error(err)
		}
		once := []string{"outer in", "inner in", "inner out", "outer out"}
		if want := slices.Repeat(once, 3); !slices.Equal(order, want) {
			r.T.Errorf("order is %v", order)
		}
	})
}

func TestInterceptorSeesAndChangesTheRequestAndTheReply(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client(with(around(func(ctx context.Context, req *warren.Request, next warren.Handler) (*warren.Reply, error) {
			if req.Method != "echo" || req.CallID != "k" || string(req.Body) != "asked" || req.ContentType != "a/b" || req.OneWay {
				r.T.Errorf("request is %+v", req)
			}
			req.Header, req.Body = warren.Header{"added": "yes"}, []byte("changed")
			reply, err := next(ctx, req)
			if err != nil {
				return nil, err
			}
			return &warren.Reply{Body: append(reply.Body, " twice"...), Header: reply.Header}, nil
		})))
		reply := mustCall(r, c, "echo", "asked", client.WithCallID("k"), client.WithContentType("a/b"))
		if string(reply.Body) != "changed twice" || reply.Header["added"] != "yes" {
			r.T.Errorf("reply %q, %v", reply.Body, reply.Header)
		}
	})
}

func TestInterceptorMayCallMoreThanOnceOrNotAtAll(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		twice := around(func(ctx context.Context, req *warren.Request, next warren.Handler) (*warren.Reply, error) {
			if string(req.Body) == "cached" {
				return &warren.Reply{Body: []byte("from the cache")}, nil
			}
			if _, err := next(ctx, req); err != nil {
				return nil, err
			}
			second := *req
			second.CallID += " again"
			return next(ctx, &second)
		})
		c := r.Client(with(twice))
		if reply := mustCall(r, c, "echo", "x", client.WithCallID("k")); reply.CallID != "k again" || s.Stats().Handled != 2 {
			r.T.Errorf("reply to %s; %+v", reply.CallID, s.Stats())
		}
		if reply := mustCall(r, c, "echo", "cached"); string(reply.Body) != "from the cache" || s.Stats().Handled != 2 {
			r.T.Errorf("reply %q; %+v", reply.Body, s.Stats())
		}
	})
}

func TestInterceptorsErrorLeavesTheClientAsAWarrenError(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		refuse := errors.New("no")
		next := func(ctx context.Context, req *warren.Request, next warren.Handler) (*warren.Reply, error) {
			switch string(req.Body) {
			case "own":
				return nil, refuse
			case "nothing":
				return nil, nil
			case "context":
				return nil, context.Canceled
			case "replaced":
				return next(context.Background(), req)
			case "wrapped":
				_, err := next(ctx, req)
				return nil, fmt.Errorf("seen: %w", err)
			default:
				return nil, warren.Errorf(warren.CodeUnauthenticated, "who are you?").WithReason("no_token")
			}
		}
		c := r.Client(with(around(next)))
		for body, want := range map[string]warren.Error{
			"own":      {Code: warren.CodeUnknown, Message: "no"},
			"nothing":  {Code: warren.CodeUnknown, Message: "an interceptor returned neither a reply nor an error"},
			"context":  {Code: warren.CodeCanceled, Message: "context canceled"},
			"replaced": {Code: warren.CodeInternal, Outcome: warren.NotExecuted, Message: "an interceptor replaced the context of the call"},
			"wrapped":  {Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute, Outcome: warren.NotExecuted},
		} {
			_, err := c.Call(r.T.Context(), "nobody.home", []byte(body), client.WithCallID("k"))
			e := rig.WantError(r.T, err, want.Code, want.Reason, want.Outcome)
			if want.Message != "" && e.Message != want.Message || e.Method != "nobody.home" || e.CallID != "k" {
				r.T.Errorf("%s: error is %+v", body, e)
			}
			if errors.Is(err, refuse) != (body == "own") {
				r.T.Errorf("%s: the cause of %+v", body, e)
			}
		}
		_, err := c.Call(r.T.Context(), "nobody.home", nil)
		rig.WantError(r.T, err, warren.CodeUnauthenticated, "no_token", warren.Unknown)
	})
}
