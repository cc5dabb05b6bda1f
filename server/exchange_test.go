package server_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rig"
)

func TestHandlerSeesTheRequestAsItWasMade(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var seen warren.Request
		var ends time.Time
		r.Serve(rig.Named("look"), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			seen = *req
			ends, _ = ctx.Deadline()
			return nil, nil
		})
		began := time.Now()
		reply, err := r.Client(func(cfg *client.Config) { cfg.Caller = "billing" }).Call(r.T.Context(), "look", []byte("x"),
			client.WithCallID("k"), client.WithHeader("h", "v"), client.WithContentType("a/b"), client.WithContentEncoding("gzip"),
			client.WithTimeout(3*time.Second))
		if err != nil || len(reply.Body) != 0 {
			r.T.Errorf("%v, %v", reply, err)
		}
		deadline := began.Add(3 * time.Second)
		if seen.Method != "look" || seen.CallID != "k" || seen.Attempt != 1 || seen.Header["h"] != "v" || string(seen.Body) != "x" ||
			seen.ContentType != "a/b" || seen.ContentEncoding != "gzip" || seen.Caller != "billing" || seen.OneWay || seen.Plain ||
			seen.Redelivered || !seen.Deadline.Equal(deadline) || !seen.Issued.Equal(began) || !ends.Equal(deadline) {
			r.T.Errorf("the handler saw %+v and the deadline %v", seen, ends)
		}
	})
}

type order struct {
	Item  string
	Count int
}

// Validate implements server.Validator.
func (o *order) Validate() error {
	switch {
	case o.Count < 0:
		return errors.New("count must not be negative")
	case o.Count > 99:
		return warren.Errorf(warren.CodeOutOfRange, "that many are not in stock").WithReason("stock")
	default:
		return nil
	}
}

func TestTypedHandlerSeesWhatWasDecodedAndValidated(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer()
		var ran atomic.Int32
		err := server.Handle(s, rig.Named("order"), func(ctx context.Context, o order) (order, error) {
			ran.Add(1)
			if req := warren.RequestFromContext(ctx); req == nil || req.Method != "order" {
				r.T.Errorf("the request in the context is %+v", req)
			}
			return order{o.Item, o.Count + 1}, nil
		})
		if err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		c := r.Client()
		ctx := r.T.Context()
		if got, err := client.Call[order](ctx, c, "order", order{"tea", 1}); err != nil || got != (order{"tea", 2}) {
			r.T.Errorf("%+v, %v", got, err)
		}
		for _, contentType := range []string{"", "Application/JSON; charset=utf-8"} {
			reply, err := c.Call(ctx, "order", []byte(`{"Count":1}`), client.WithContentType(contentType))
			if err != nil || reply.ContentType != "application/json" {
				r.T.Errorf("%q: %+v, %v", contentType, reply, err)
			}
		}
		before := ran.Load()
		for body, test := range map[string]struct {
			opts   []client.CallOption
			code   warren.Code
			reason string
		}{
			`"no object"`:   {nil, warren.CodeInvalidArgument, warren.ReasonMalformedBody},
			`{"Count":-1}`:  {nil, warren.CodeInvalidArgument, warren.ReasonInvalid},
			`{"Count":100}`: {nil, warren.CodeOutOfRange, "stock"},
			`{"Count":2}`:   {[]client.CallOption{client.WithContentType("text/yaml")}, warren.CodeInvalidArgument, warren.ReasonUnsupportedMedia},
			`{"Count":3}`:   {[]client.CallOption{client.WithContentEncoding("gzip")}, warren.CodeInvalidArgument, warren.ReasonUnsupportedMedia},
		} {
			_, err := c.Call(ctx, "order", []byte(body), test.opts...)
			if e := rig.WantError(r.T, err, test.code, test.reason, warren.NotExecuted); !e.Remote || e.Message == "" {
				r.T.Errorf("%s: error is %+v", body, e)
			}
		}
		if st := s.Stats(); ran.Load() != before || st.Rejected != 5 {
			r.T.Errorf("a handler saw what is invalid: %+v", st)
		}
	})
}

func TestBytesPassATypedHandlerAsTheyAre(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer()
		err := errors.Join(
			server.Handle(s, rig.Named("upper"), func(_ context.Context, b []byte) ([]byte, error) {
				return []byte(strings.ToUpper(string(b))), nil
			}),
			server.Handle(s, rig.Named("unencodable"), func(context.Context, []byte) (chan int, error) { return nil, nil }),
		)
		if err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		c := r.Client()
		reply, err := c.Call(r.T.Context(), "upper", []byte("{no json"), client.WithContentType("text/x"))
		if err != nil || string(reply.Body) != "{NO JSON" || reply.ContentType != "" {
			r.T.Errorf("%+v, %v", reply, err)
		}
		// A reply that cannot be encoded is the server's fault, and its own affair.
		_, err = c.Call(r.T.Context(), "unencodable", nil)
		if e := rig.WantError(r.T, err, warren.CodeUnknown, "", warren.Executed); e.Incident == "" || strings.Contains(e.Message, "chan") {
			r.T.Errorf("error is %+v", e)
		}
	})
}

func TestConcurrencyAndPrefetchBoundEachMethod(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g, free := rig.NewGate(), rig.NewGate()
		close(free.Release)
		s := r.NewServer()
		for m, h := range map[*server.Method]warren.Handler{
			{Name: "gate", Concurrency: 3, Prefetch: 5}: g.Handle,
			{Name: "free"}: free.Handle,
		} {
			if err := s.HandleRaw(*m, h); err != nil {
				r.T.Fatal(err)
			}
		}
		r.Start(s)
		c := r.Client()
		var calls []*client.Future
		for range 20 {
			calls = append(calls, c.Go(r.T.Context(), "gate", nil))
		}
		synctest.Wait()
		if q := r.Queue("gate"); g.Runs.Load() != 3 || q.Unacked != 5 || q.Ready != 15 {
			r.T.Errorf("%d run; %+v", g.Runs.Load(), q)
		}
		// One method that is full holds up no other.
		if _, err := c.Call(r.T.Context(), "free", nil); err != nil {
			r.T.Error(err)
		}
		g.Release <- struct{}{}
		synctest.Wait()
		if q := r.Queue("gate"); g.Runs.Load() != 4 || q.Unacked != 5 || q.Ready != 14 {
			r.T.Errorf("%d run; %+v", g.Runs.Load(), q)
		}
		close(g.Release)
		for _, call := range calls {
			if _, err := call.Result(); err != nil {
				r.T.Error(err)
			}
		}
	})
}

func TestConcurrencyOfOneHandlesInOrder(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var order []string
		r.Serve(server.Method{Name: "line", Concurrency: 1}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			order = append(order, string(req.Body))
			time.Sleep(time.Second)
			return nil, nil
		})
		c := r.Client()
		var calls []*client.Future
		for _, body := range []string{"a", "b", "c"} {
			calls = append(calls, c.Go(r.T.Context(), "line", []byte(body)))
			synctest.Wait()
		}
		for _, call := range calls {
			if _, err := call.Result(); err != nil {
				r.T.Error(err)
			}
		}
		if !slices.Equal(order, []string{"a", "b", "c"}) {
			r.T.Errorf("handled %v", order)
		}
	})
}

func TestInterceptorsOfTheServerAreOutsideThoseOfTheMethod(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var order []string
		mark := func(name string) warren.Interceptor {
			return func(next warren.Handler) warren.Handler {
				return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
					order = append(order, name)
					if string(req.Body) == name {
						return nil, warren.Errorf(warren.CodePermissionDenied, "not you").WithReason("no_role")
					}
					reply, err := next(ctx, req)
					order = append(order, name)
					return reply, err
				}
			}
		}
		s := r.NewServer(func(cfg *server.Config) { cfg.Interceptors = []warren.Interceptor{mark("1"), nil, mark("2")} })
		m := server.Method{Name: "echo", Interceptors: []warren.Interceptor{mark("3"), mark("4")}}
		if err := server.Handle(s, m, func(_ context.Context, b []byte) ([]byte, error) { return b, nil }); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		c := r.Client()
		if _, err := c.Call(r.T.Context(), "echo", nil); err != nil {
			r.T.Error(err)
		}
		if got := strings.Join(order, ""); got != "12344321" {
			r.T.Errorf("order is %s", got)
		}
		order = nil
		_, err := c.Call(r.T.Context(), "echo", []byte("3"))
		rig.WantError(r.T, err, warren.CodePermissionDenied, "no_role", warren.NotExecuted)
		if got := strings.Join(order, ""); got != "12321" {
			r.T.Errorf("order is %s", got)
		}
	})
}

func TestDeadlineTravelsFromHopToHopAndEndsTheHandlersContext(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Client()
		began := time.Now()
		ended := make(chan time.Duration, 1)
		r.Serve(rig.Named("inner"), func(ctx context.Context, _ *warren.Request) (*warren.Reply, error) {
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				r.T.Errorf("the context ended with %v", ctx.Err())
			}
			ended <- time.Since(began)
			return nil, ctx.Err()
		})
		r.Serve(rig.Named("outer"), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			time.Sleep(time.Second)
			return c.Call(ctx, "inner", req.Body, client.WithTimeout(time.Hour))
		})
		_, err := c.Call(r.T.Context(), "outer", nil, client.WithTimeout(4*time.Second))
		if warren.CodeOf(err) != warren.CodeDeadlineExceeded {
			r.T.Error(err)
		}
		if took := <-ended; took != 4*time.Second {
			r.T.Errorf("the inner handler was ended after %v", took)
		}
	})
}

func TestRequestThatOutlivedItsDeadlineIsNotHandled(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var seen []string
		release := make(chan struct{})
		// The requests behind the first are with the server when they expire, where
		// the broker's expiration does not reach them.
		m := server.Method{Name: "slow", Concurrency: 1, Prefetch: 10}
		s := r.Serve(m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			seen = append(seen, string(req.Body))
			if string(req.Body) == "first" {
				<-release
			}
			return nil, nil
		})
		c := r.Client()
		first := c.Go(r.T.Context(), "slow", []byte("first"), client.WithTimeout(time.Minute))
		synctest.Wait()
		_, err := c.Call(r.T.Context(), "slow", []byte("expires"), client.WithTimeout(2*time.Second))
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		last := c.Go(r.T.Context(), "slow", []byte("last"))
		synctest.Wait()
		close(release)
		for _, call := range []*client.Future{first, last} {
			if _, err := call.Result(); err != nil {
				r.T.Error(err)
			}
		}
		if !slices.Equal(seen, []string{"first", "last"}) {
			r.T.Errorf("handled %q", seen)
		}
		synctest.Wait() // until the refusal has come
		if st := s.Stats(); st.Rejected != 1 || st.Handled != 2 || c.Stats().LateReplies != 1 {
			r.T.Errorf("%+v", st)
		}
	})
}
