package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// bundles are the publishes of several replies in one message.
var bundles = amqptest.When{
	Method: "basic.publish", Message: func(m *amqptest.Message) bool { return wire.IsBundle(m.Type) },
}

// inLine lets the handlers behind the gate, of which there are so many, end while the
// broker blocks the server. The reply of the first is under way then; the others are in
// line behind it, and go out as one when the broker blocks no more.
func inLine(r *rig.Rig, g *rig.Gate, handlers int) {
	r.T.Helper()
	synctest.Wait()
	if n := len(g.Entered); n < handlers {
		r.T.Fatalf("%d handlers of %d run", n, handlers)
	}
	r.Broker.Block("")
	g.Release <- struct{}{}
	synctest.Wait()
	close(g.Release)
	synctest.Wait()
	r.Broker.Unblock()
}

// callAll begins n calls of a method, each with a body of its own.
func callAll(r *rig.Rig, c *client.Client, method string, n int, opts ...client.CallOption) []*client.Future {
	var calls []*client.Future
	for i := range n {
		calls = append(calls, c.Go(r.T.Context(), method, fmt.Append(nil, i), append(opts, client.WithTimeout(time.Minute))...))
	}
	return calls
}

func wantBodies(r *rig.Rig, calls []*client.Future) {
	r.T.Helper()
	for i, call := range calls {
		if reply, err := call.Result(); err != nil || string(reply.Body) != fmt.Sprint(i) {
			r.T.Errorf("call %d: %v, %v", i, reply, err)
		}
	}
}

func TestRepliesInLineForOneClientTravelTogether(t *testing.T) {
	for name, change := range map[string]func(*client.Config){
		"a named reply queue":      func(*client.Config) {},
		"an exclusive reply queue": func(cfg *client.Config) { cfg.ReplyQueue.Exclusive = true },
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				g := rig.NewGate()
				s := r.Serve(rig.Named("gate"), g.Handle)
				c, other := r.Ready(change), r.Ready(change)
				calls, others := callAll(r, c, "gate", 21), callAll(r, other, "gate", 3)
				inLine(r, g, 24)
				wantBodies(r, calls)
				wantBodies(r, others)
				synctest.Wait()
				// Of the first client, or of the second, one went ahead.
				if n := r.Broker.Count(bundles); n != 3 {
					r.T.Errorf("%d bundles", n)
				}
				if st := s.Stats(); st.Bundled < 22 || st.Bundled > 23 || st.RepliesRetried != 0 {
					r.T.Errorf("%+v", st)
				}
				if a, b := c.Stats(), other.Stats(); a.Bundled+b.Bundled != s.Stats().Bundled || a.Replies != 21 || b.Replies != 3 || a.LateReplies+b.LateReplies != 0 {
					r.T.Errorf("%+v, %+v", a, b)
				}
				if q := r.Queue("gate"); q.Ready+q.Unacked != 0 {
					r.T.Errorf("%+v", q)
				}
			})
		})
	}
}

// A reply that nobody waits in line behind goes out at once and alone.
func TestReplyWaitsForNoCompany(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		began := time.Now()
		for i := range 50 {
			if reply, err := c.Call(r.T.Context(), "echo", fmt.Append(nil, i)); err != nil || string(reply.Body) != fmt.Sprint(i) {
				r.T.Fatalf("%v, %v", reply, err)
			}
		}
		rig.Took(r.T, began, 0)
		if st := s.Stats(); st.Bundled != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}

// Who does not say that it takes several replies in a message never gets one.
func TestOnlyThoseWhoAskGetBundles(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(rig.Named("gate"), g.Handle)
		c := r.Ready(func(cfg *client.Config) { cfg.RepliesOneByOne = true })
		p := r.Peer()
		issued := wire.Meta{Kind: wire.KindCall, Attempt: 1, Issued: time.Now()}
		calls := callAll(r, c, "gate", 8)
		for i, typ := range []string{"", "", issued.Encode(), issued.Encode(), "warren/2c;t" + "mk0000000", "warren/2c;t" + "mk0000000"} {
			p.Publish("gate", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: fmt.Sprint(i), Type: typ})
		}
		inLine(r, g, 14)
		wantBodies(r, calls)
		got := map[string]bool{}
		for range 6 {
			d := p.Next()
			got[d.CorrelationId] = true
			if wire.IsBundle(d.Type) {
				r.T.Errorf("%+v", d)
			}
		}
		if st := s.Stats(); len(got) != 6 || st.Bundled != 0 || c.Stats().Bundled != 0 {
			r.T.Errorf("%v, %+v", got, st)
		}
	})
}

func TestLargeRepliesAndThoseWithHeadersTravelAlone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(rig.Named("gate"), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			reply, err := g.Handle(ctx, req)
			if err == nil && strings.HasPrefix(string(req.Body), "h") {
				reply.Header = warren.Header{"k": "v"}
			}
			return reply, err
		})
		c := r.Ready()
		bodies := []string{"1", "2", "3", "h1", "h2", strings.Repeat("x", 4097), strings.Repeat("y", 5000)}
		calls := []*client.Future{c.Go(r.T.Context(), "gate", nil)}
		synctest.Wait()
		for _, body := range bodies {
			calls = append(calls, c.Go(r.T.Context(), "gate", []byte(body), client.WithTimeout(time.Minute)))
		}
		inLine(r, g, len(calls))
		for i, call := range calls {
			if reply, err := call.Result(); err != nil || i > 0 && string(reply.Body) != bodies[i-1] {
				r.T.Errorf("call %d: %v", i, err)
			}
		}
		if st := s.Stats(); st.Bundled < 2 || st.Bundled > 3 {
			r.T.Errorf("%+v", st)
		}
	})
}

// What comes between the publish of a bundle and its confirm is as it would be for each of its
// replies: sent again, and no handler runs a second time.
func TestRepliesOfABundleThatIsNotConfirmedAreSentAgain(t *testing.T) {
	for name, fault := range map[string]amqptest.Action{
		"nacked":                amqptest.Nack(),
		"lost, before":          amqptest.SeverBefore(),
		"lost, after":           amqptest.SeverAfter(),
		"lost with the channel": amqptest.CloseChannel(541, "internal error"),
		"never confirmed":       amqptest.NeverConfirm(),
	} {
		t.Run(name, func(t *testing.T) {
			withAndWithout(t, func(r *rig.Rig, _ *testStore, change func(*server.Config)) {
				g := rig.NewGate()
				s := r.NewServer(change)
				if err := s.HandleRaw(rig.Named("gate"), g.Handle); err != nil {
					r.T.Fatal(err)
				}
				r.Start(s)
				r.Broker.Inject(amqptest.Rule{When: bundles, Do: fault, Times: 2, Every: 1})
				c := r.Ready()
				calls := callAll(r, c, "gate", 40)
				inLine(r, g, 40)
				wantBodies(r, calls)
				time.Sleep(2 * time.Minute)
				st := s.Stats()
				if g.Runs.Load() != 40 || st.RepliesRetried == 0 || st.Undelivered+st.Unrouted != 0 {
					r.T.Errorf("%d runs, %+v", g.Runs.Load(), st)
				}
				if q := r.Queue("gate"); q.Ready+q.Unacked != 0 {
					r.T.Errorf("%+v", q)
				}
				// A second copy is dropped.
				if st := c.Stats(); st.Replies != 40 || st.Unreadable != 0 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

// A server that dies before the confirm leaves all requests of the bundle to the next one.
func TestBundleOfAServerThatDiesIsAnsweredByTheNext(t *testing.T) {
	for name, fault := range map[string]amqptest.Action{"before": amqptest.SeverBefore(), "after": amqptest.SeverAfter()} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var d memstore.Data
				g := rig.NewGate()
				held := shared(r, &d)
				victim := mortal(r, held, rig.Named("gate"), g.Handle)
				c := r.Ready()
				calls := callAll(r, c, "gate", 20)
				var died atomic.Bool
				r.Broker.Inject(amqptest.Rule{When: bundles, Do: fault, Then: []amqptest.Action{amqptest.Do(func(*amqptest.Event) {
					died.Store(true)
				})}})
				inLine(r, g, 20)
				synctest.Wait()
				if !died.Load() {
					r.T.Fatal("no bundle was published")
				}
				kill(victim, held)
				var again atomic.Int32
				serve(r, shared(r, &d), rig.Named("gate"), counting(&again))
				wantBodies(r, calls)
				time.Sleep(time.Minute)
				if q := r.Queue("gate"); again.Load() != 0 || g.Runs.Load() != 20 || q.Ready+q.Unacked != 0 {
					r.T.Errorf("%d runs, and %d, %+v", g.Runs.Load(), again.Load(), q)
				}
			})
		})
	}
}

// The requests are the server's until the broker has the bundle.
func TestRequestsOfABundleStayUnacknowledgedUntilItIsConfirmed(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Ready()
		calls := callAll(r, c, "gate", 9)
		inLine(r, g, 9)
		wantBodies(r, calls)
		time.Sleep(4 * time.Second)
		if q := r.Queue("gate"); q.Unacked != 8 {
			r.T.Errorf("%+v", q)
		}
	}, amqptest.Rule{When: bundles, Do: amqptest.NeverConfirm()})
}

// A bundle that comes back has nobody who waits for any of its replies.
func TestReturnedBundleAcknowledgesItsRequests(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(rig.Named("gate"), g.Handle)
		c := r.Ready()
		calls := callAll(r, c, "gate", 9)
		inLine(r, g, 9)
		time.Sleep(2 * time.Minute)
		failed := 0
		for _, call := range calls {
			if _, err := call.Result(); err != nil {
				failed++
			}
		}
		if q, st := r.Queue("gate"), s.Stats(); failed != 8 || st.Unrouted != 8 || st.RepliesRetried != 0 || q.Ready+q.Unacked != 0 {
			r.T.Errorf("%d failed, %+v, %+v", failed, q, st)
		}
	}, amqptest.Rule{When: bundles, Do: amqptest.Return()})
}

// Direct reply-to takes bundles too, once an address has taken a reply.
func TestDirectRepliesTravelTogether(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(rig.Named("gate"), g.Handle)
		p := r.Peer()
		replies := p.Consume("amq.rabbitmq.reply-to")
		ask := func(id string) {
			meta := wire.Meta{Version: wire.V2, Kind: wire.KindCall, Issued: time.Now(), Bundles: true}
			p.Publish("gate", amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: id, Type: meta.Encode()})
		}
		ask("first")
		g.Release <- struct{}{}
		if d := <-replies; d.CorrelationId != "first" {
			r.T.Fatalf("%+v", d)
		}
		synctest.Wait()
		for i := range 9 {
			ask(fmt.Sprint(i))
		}
		inLine(r, g, 10)
		got := map[string]bool{}
		for len(got) < 9 {
			d := <-replies
			if !wire.IsBundle(d.Type) {
				got[d.CorrelationId] = true
				continue
			}
			all, err := wire.DecodeBundle(&d)
			if err != nil {
				r.T.Fatal(err)
			}
			for reply := range all {
				got[reply.CorrelationId] = true
			}
		}
		synctest.Wait()
		if q, st := r.Queue("gate"), s.Stats(); st.Bundled != 8 || q.Ready+q.Unacked != 0 {
			r.T.Errorf("%+v, %+v", st, q)
		}
	})
}
