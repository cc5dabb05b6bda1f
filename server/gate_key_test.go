package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

func TestOtherRequestOfTheSameIDIsRefusedAndNothingRuns(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*amqp.Publishing)
		same   bool
	}{
		"body":             {func(p *amqp.Publishing) { p.Body = []byte("y") }, false},
		"content type":     {func(p *amqp.Publishing) { p.ContentType = "text/plain" }, false},
		"encoding":         {func(p *amqp.Publishing) { p.ContentEncoding = "gzip" }, false},
		"a header more":    {func(p *amqp.Publishing) { p.Headers["b"] = "2" }, false},
		"another header":   {func(p *amqp.Publishing) { p.Headers["a"] = "2" }, false},
		"a header less":    {func(p *amqp.Publishing) { delete(p.Headers, "a") }, false},
		"volatile header":  {func(p *amqp.Publishing) { p.Headers["hop"] = "2" }, true},
		"trace context":    {func(p *amqp.Publishing) { p.Headers["traceparent"] = "00-2"; p.Headers["Baggage"] = "z" }, true},
		"broker's headers": {func(p *amqp.Publishing) { p.Headers["x-delivery-count"] = int64(1) }, true},
		"mark of a replay": {func(p *amqp.Publishing) { p.Headers["x-warren-replay"] = "1" }, true},
		"application's ID": {func(p *amqp.Publishing) { p.AppId, p.MessageId, p.Priority = "other", "9", 3 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			inEachMode(t, func(r *rig.Rig, mode server.Mode) {
				var runs atomic.Int32
				m := in(mode)
				m.Dedupe.Volatile = []string{"hop"}
				serve(r, alone(r, memstore.Options{}), m, counting(&runs))
				p := r.Peer()
				first := raw(p, "k", "x")
				first.Headers = amqp.Table{"a": "1", "traceparent": "00-1"}
				p.Publish("m", first)
				want(r, "the first", toldRaw(r, p.Next()), "1")
				second := raw(p, "k", "x")
				second.Headers = amqp.Table{"a": "1"}
				c.change(&second)
				p.Publish("m", second)
				expected := "already_exists/key_reused, not_executed"
				if c.same {
					expected = "1, replayed"
				}
				want(r, "the second", toldRaw(r, p.Next()), expected)
				if runs.Load() != 1 {
					r.T.Errorf("%d runs", runs.Load())
				}
			})
		})
	}
}

func TestCallersAreKeptApartByTheirBrokersUser(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		for _, name := range []string{"ann", "bob"} {
			if err := r.Broker.AddUser(name, amqptest.User{Password: name}); err != nil {
				r.T.Fatal(err)
			}
		}
		var runs atomic.Int32
		m := in(server.AtMostOnce)
		m.Dedupe.ByCaller = true
		s := serve(r, alone(r, memstore.Options{}), m, counting(&runs))
		peers := map[string]*rig.Peer{}
		for _, name := range []string{"ann", "bob"} {
			settings := r.Settings()
			settings.URLs = []string{r.Broker.URLAs(name, name, "/")}
			peers[name] = rig.NewPeer(r.T, settings)
		}
		as := func(name, body string) string {
			r.T.Helper()
			msg := raw(peers[name], "k", body)
			msg.UserId = name
			peers[name].Publish("m", msg)
			return toldRaw(r, peers[name].Next())
		}
		want(r, "ann", as("ann", "x"), "1")
		want(r, "bob, with another body", as("bob", "y"), "2")
		want(r, "ann again", as("ann", "x"), "1, replayed")
		want(r, "bob again", as("bob", "y"), "2, replayed")
		want(r, "bob, with ann's", as("bob", "x"), "already_exists/key_reused, not_executed")
		want(r, "nobody", ask(r, "k", "x"), "unauthenticated/missing_identifier, not_executed")
		if runs.Load() != 2 || s.Stats().Claims != 2 {
			r.T.Errorf("%d runs, %+v", runs.Load(), s.Stats())
		}
		// Who says to be somebody else is not heard by the broker at all.
		forged := raw(peers["bob"], "k", "x")
		forged.UserId = "ann"
		peers["bob"].Publish("m", forged)
		if _, ok := <-peers["bob"].Replies; ok {
			r.T.Error("a forged user was answered")
		}
	})
}

func TestPlainCallersMeetNeitherOthersNorThemselves(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var runs atomic.Int32
		s := serve(r, alone(r, memstore.Options{}), in(mode), counting(&runs))
		plain := func(p *rig.Peer, id, body string) string {
			r.T.Helper()
			p.Publish("m", amqp.Publishing{CorrelationId: id, ReplyTo: p.Queue, Body: []byte(body)})
			return string(p.Next().Body)
		}
		ann, bob := r.Peer(), r.Peer()
		want(r, "ann", plain(ann, "1", "x"), "1")
		want(r, "bob", plain(bob, "1", "y"), "2")
		want(r, "ann again", plain(ann, "1", "x"), "1")
		want(r, "bob again", plain(bob, "1", "y"), "2")
		want(r, "a client", ask(r, "1", "x"), "3")
		// Without an ID.
		ann.Publish("m", amqp.Publishing{ReplyTo: ann.Queue, Body: []byte("x")})
		d := ann.Next()
		if mode == server.AtLeastOnce {
			want(r, "without an ID", string(d.Body), "4")
			// Without a reply address nobody's IDs are known: all of these run.
			for _, body := range []string{"x", "x", "y"} {
				ann.Publish("m", amqp.Publishing{CorrelationId: "1", Body: []byte(body)})
			}
			patience.Eventually(r.T, "all have run", func() bool { return runs.Load() == 7 })
			return
		}
		want(r, "without an ID", d.Type, "warren/1;k=reply;n=1;c=invalid_argument;r=missing_identifier;o=not_executed")
		if runs.Load() != 3 || s.Stats().Claims != 3 {
			r.T.Errorf("%d runs, %+v", runs.Load(), s.Stats())
		}
	})
}

func TestNamespacesAndMethodsKeepCallsApart(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		var runs atomic.Int32
		for _, namespace := range []string{"a", "b"} {
			s := r.NewServer(stored(shared(r, &data)), func(cfg *server.Config) { cfg.Namespace = namespace })
			for _, method := range []string{"m", "n"} {
				if err := s.HandleRaw(server.Method{Name: namespace + method}, counting(&runs)); err != nil {
					r.T.Fatal(err)
				}
			}
			r.Start(s)
		}
		c := r.Client()
		for _, method := range []string{"am", "an", "bm", "bn"} {
			if _, err := c.Call(r.T.Context(), method, []byte(method)); err != nil {
				r.T.Fatal(err)
			}
		}
		if runs.Load() != 4 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestInterceptorsAndTheGate(t *testing.T) {
	through := func(f func(next warren.Handler, ctx context.Context, req *warren.Request) (*warren.Reply, error)) warren.Interceptor {
		return func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) { return f(next, ctx, req) }
		}
	}
	type key struct{}
	for name, c := range map[string]struct {
		interceptor warren.Interceptor
		first, then string
	}{
		"sees replays": {through(func(next warren.Handler, ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			reply, err := next(ctx, req)
			if err == nil && reply.Replayed {
				reply.Body = append([]byte("seen "), reply.Body...)
			}
			return reply, err
		}), "1", "seen 1, replayed"},
		"calls twice": {through(func(next warren.Handler, ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if _, err := next(ctx, req); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}), "1, replayed", "1, replayed"},
		"makes a context": {through(func(next warren.Handler, ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			return next(context.WithValue(ctx, key{}, 1), req)
		}), "1", "1, replayed"},
		"loses the context": {through(func(next warren.Handler, _ context.Context, req *warren.Request) (*warren.Reply, error) {
			return next(context.Background(), req)
		}), "unknown/, not_executed", "unknown/, not_executed"},
		"panics after it": {through(func(next warren.Handler, ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if reply, _ := next(ctx, req); reply.Replayed {
				return reply, nil
			}
			panic("x")
		}), "internal/panic, executed", "1, replayed"},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				m := in(server.AtMostOnce)
				m.Interceptors = []warren.Interceptor{c.interceptor}
				serve(r, alone(r, memstore.Options{}), m, counting(&runs))
				want(r, "at first", ask(r, "k", "x"), c.first)
				want(r, "then", ask(r, "k", "x"), c.then)
				if n := runs.Load(); n > 1 || n == 0 && name != "loses the context" {
					r.T.Errorf("%d runs", n)
				}
			})
		})
	}
}

func TestInterceptorThatReplacesTheGatesErrorKeepsItsOutcome(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var runs atomic.Int32
		m := in(server.AtMostOnce)
		m.Interceptors = []warren.Interceptor{func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				reply, err := next(ctx, req)
				if err != nil {
					return nil, warren.Errorf(warren.CodeFailedPrecondition, "other words")
				}
				return reply, nil
			}
		}}
		m = lookingAt("get", m)
		st := alone(r, memstore.Options{})
		serve(r, st, m, counting(&runs))
		want(r, "at first", ask(r, "k", "x"), "1")
		want(r, "conflict", ask(r, "k", "y"), "failed_precondition/, not_executed")
		st.fail("get", times(1, outage), nil)
		want(r, "outage", ask(r, "j", "x"), "failed_precondition/, not_executed")
	})
}

// An interceptor that goes on after the end of a request neither runs the handler
// nor ends the request again.
func TestInterceptorThatCallsOnAfterTheEndOfARequest(t *testing.T) {
	for name, panics := range map[string]bool{"calls": false, "panics": true} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				m := in(server.AtLeastOnce)
				m.Interceptors = []warren.Interceptor{func(next warren.Handler) warren.Handler {
					return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
						_, err := next(ctx, req)
						if err == nil || panics {
							panic("x")
						}
						return next(context.WithoutCancel(ctx), req)
					}
				}}
				var data memstore.Data
				held := shared(r, &data)
				g := rig.NewGate()
				s := mortal(r, held, m, g.Handle)
				call := asking(r, "k", "x")
				<-g.Entered
				if err := stopWithin(r, s, time.Second); err == nil {
					r.T.Error("the handler was not cancelled")
				}
				serve(r, shared(r, &data), in(server.AtLeastOnce), counting(&runs))
				want(r, "told", <-call, "1")
				if g.Runs.Load() != 1 || runs.Load() != 1 {
					r.T.Errorf("%d and %d runs", g.Runs.Load(), runs.Load())
				}
			})
		})
	}
}
