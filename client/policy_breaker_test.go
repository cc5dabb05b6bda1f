package client_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// changes collects what OnBreaker is told.
type changes struct {
	mu   sync.Mutex
	list []string
}

func (l *changes) note(ch reliability.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprintf("%s %v>%v", ch.Method, ch.From, ch.To))
}

func (l *changes) want(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.list, want) {
		t.Errorf("the changes are %v; want %v", l.list, want)
	}
}

// brittle is a breaker that opens for five seconds once two of four calls have
// failed, and that one probe closes. Calls take a second at most.
func brittle(l *changes) func(*client.Config) {
	return func(cfg *client.Config) {
		cfg.OnBreaker = l.note
		withPolicy(brittlePolicy())(cfg)
	}
}

func brittlePolicy() reliability.Policy {
	return reliability.Policy{
		Timeout: new(time.Second), Retry: exact(1), Breaker: reliability.BreakerPolicy{Volume: new(4), Probes: new(1)},
	}
}

func TestBreakerOpensRefusesProbesAndCloses(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		well := false
		script(r, "m", func(s *scripted, _ int, d amqp.Delivery) {
			if well {
				s.answer(d)
			}
		})
		script(r, "other", func(s *scripted, _ int, d amqp.Delivery) { s.answer(d) })
		l := &changes{}
		c := r.Ready(brittle(l))
		refused := func(left time.Duration) {
			r.T.Helper()
			began, published := time.Now(), r.Broker.Count(publishesTo("m"))
			_, err := c.Call(r.T.Context(), "m", nil, client.Idempotent(), client.WithAttempts(3))
			e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonBreakerOpen, warren.NotExecuted)
			rig.Took(r.T, began, 0)
			if e.RetryAfter != left || e.Attempts != 0 || e.Remote || r.Broker.Count(publishesTo("m")) != published {
				r.T.Errorf("error is %+v; want %v", e, left)
			}
			if err := c.Notify(r.T.Context(), "m", nil); warren.CodeOf(err) != warren.CodeUnavailable {
				r.T.Errorf("a notification: %v", err)
			}
		}
		fails := func() {
			r.T.Helper()
			_, err := c.Call(r.T.Context(), "m", nil)
			rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		}
		for range 4 {
			l.want(r.T)
			fails()
		}
		l.want(r.T, "m closed>open")
		refused(5 * time.Second)
		time.Sleep(2 * time.Second)
		refused(3 * time.Second)
		for range 10 {
			mustCall(r, c, "other", "")
		}
		time.Sleep(3 * time.Second)
		probe := c.Go(r.T.Context(), "m", nil)
		synctest.Wait()
		refused(100 * time.Millisecond) // the probe is out
		if _, err := probe.Result(); err == nil {
			r.T.Error("the probe was answered")
		}
		refused(5 * time.Second)
		time.Sleep(5 * time.Second)
		well = true
		mustCall(r, c, "m", "")
		mustCall(r, c, "m", "")
		l.want(r.T, "m closed>open", "m open>half_open", "m half_open>open", "m open>half_open", "m half_open>closed")
	})
}

func TestBreakerDoesNotCountWhatSaysNothingOfTheMethod(t *testing.T) {
	const calls = 20
	for name, test := range map[string]struct {
		rules []amqptest.Rule
		call  func(r *rig.Rig, c *client.Client) error
	}{
		"the caller's cancel": {call: func(r *rig.Rig, c *client.Client) error {
			ctx, cancel := context.WithCancel(r.T.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			_, err := c.Call(ctx, "m", []byte("hang"))
			return err
		}},
		"an application's error": {call: func(r *rig.Rig, c *client.Client) error {
			_, err := c.Call(r.T.Context(), "m", []byte("not found"))
			return err
		}},
		"a server that sheds": {call: func(r *rig.Rig, c *client.Client) error {
			_, err := c.Call(r.T.Context(), "m", []byte("shed"))
			return err
		}},
		"a lost connection": {
			rules: []amqptest.Rule{{When: publishesTo("m"), Do: amqptest.SeverBefore(), Times: amqptest.Always}},
			call: func(r *rig.Rig, c *client.Client) error {
				_, err := c.Call(r.T.Context(), "m", nil)
				return err
			},
		},
		"no connection": {call: func(r *rig.Rig, c *client.Client) error {
			r.Broker.Stop()
			defer func() {
				r.Broker.Resume()
				time.Sleep(5 * time.Second)
			}()
			_, err := c.Call(r.T.Context(), "m", nil, client.WaitForServer())
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "m", func(s *scripted, _ int, d amqp.Delivery) {
					switch string(d.Body) {
					case "not found":
						s.refuse(d, &warren.Error{Code: warren.CodeNotFound, Outcome: warren.Executed})
					case "shed":
						s.refuse(d, &warren.Error{Code: warren.CodeResourceExhausted, Outcome: warren.NotExecuted})
					}
				})
				l := &changes{}
				c := r.Ready(brittle(l))
				for range calls {
					if err := test.call(r, c); err == nil {
						r.T.Fatal("it was answered")
					} else if e, _ := warren.AsError(err); e.Reason == warren.ReasonBreakerOpen {
						r.T.Fatal(err)
					}
				}
				l.want(r.T)
			}, test.rules...)
		})
	}
}

func TestMethodThatAlwaysFailsOpensItsOwnBreakerAlone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "sick", func(*scripted, int, amqp.Delivery) {})
		r.Serve(rig.Named("sound"), rig.Echo)
		l := &changes{}
		c := r.Ready(brittle(l))
		for range 30 {
			sick := c.Go(r.T.Context(), "sick", nil)
			mustCall(r, c, "sound", "x")
			if _, err := sick.Result(); err == nil {
				r.T.Error("it was answered")
			}
			mustCall(r, c, "sound", "x")
		}
		for _, change := range l.list {
			if change[:5] != "sick " {
				r.T.Error(change)
			}
		}
		if breakerOf(c, "sick").State(time.Now()) == reliability.Closed || breakerOf(c, "sound").State(time.Now()) != reliability.Closed {
			r.T.Error("the wrong breaker is open")
		}
	})
}

func TestOperatorForcesBreakers(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), rig.Echo)
		l := &changes{}
		c := r.Ready(brittle(l))
		b := c.Breaker("m")
		b.Force(reliability.ForcedOpen)
		time.Sleep(time.Hour)
		_, err := c.Call(r.T.Context(), "m", nil)
		rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonBreakerOpen, warren.NotExecuted)
		b.Release()
		mustCall(r, c, "m", "")
		if b.State() != reliability.Closed {
			r.T.Errorf("after a probe it is %v", b.State())
		}
		l.want(r.T, "m closed>forced_open", "m forced_open>half_open", "m half_open>closed")
		b.Force(reliability.ForcedClosed)
		r.Broker.Inject(amqptest.Rule{When: publishesTo("m"), Do: amqptest.Drop(), Times: amqptest.Always})
		for range 20 {
			_, err := c.Call(r.T.Context(), "m", nil)
			rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		}
	})
}

// A probe that is never reported keeps its place for ever. Whatever the end of a
// call that is one, the breaker closes once the method is well again.
func TestProbeGivesItsPlaceBackHoweverItEnds(t *testing.T) {
	hang := []byte("hang")
	for name, attack := range map[string]func(r *rig.Rig, c *client.Client){
		"the caller cancels": func(r *rig.Rig, c *client.Client) {
			ctx, cancel := context.WithCancel(r.T.Context())
			call := c.Go(ctx, "m", hang)
			synctest.Wait()
			cancel()
			_, _ = call.Result()
		},
		"the caller cancels before it is written": func(r *rig.Rig, c *client.Client) {
			r.Broker.Stop()
			ctx, cancel := context.WithCancel(r.T.Context())
			call := c.Go(ctx, "m", hang)
			time.Sleep(100 * time.Millisecond)
			cancel()
			_, _ = call.Result()
			r.Broker.Resume()
		},
		"the context has ended": func(r *rig.Rig, c *client.Client) {
			ctx, cancel := context.WithCancel(r.T.Context())
			cancel()
			_, _ = c.Call(ctx, "m", hang)
		},
		"the deadline passes": func(r *rig.Rig, c *client.Client) { _, _ = c.Call(r.T.Context(), "m", hang) },
		"its attempts are repeated": func(r *rig.Rig, c *client.Client) {
			_, _ = c.Call(r.T.Context(), "m", hang, client.Idempotent(), client.WithAttempts(5))
		},
		"the deadline passes unsent": func(r *rig.Rig, c *client.Client) {
			r.Broker.Stop()
			_, _ = c.Call(r.T.Context(), "m", hang)
			r.Broker.Resume()
		},
		"others join it and leave": func(r *rig.Rig, c *client.Client) {
			ctx, cancel := context.WithCancel(r.T.Context())
			first := c.Go(ctx, "m", hang, client.WithCallID("k"))
			synctest.Wait()
			second := c.Go(ctx, "m", hang, client.WithCallID("k"))
			third := c.Go(r.T.Context(), "m", hang, client.WithCallID("k"))
			synctest.Wait()
			cancel()
			for _, call := range []*client.Future{first, second, third} {
				_, _ = call.Result()
			}
		},
		"the ID names another request": func(r *rig.Rig, c *client.Client) {
			first := c.Go(r.T.Context(), "m", hang, client.WithCallID("k"))
			synctest.Wait()
			_, _ = c.Call(r.T.Context(), "m", []byte("other"), client.WithCallID("k"))
			_, _ = first.Result()
		},
		"the broker blocks": func(r *rig.Rig, c *client.Client) {
			block(r, c, 100*time.Millisecond)
			_, _ = c.Call(r.T.Context(), "m", hang)
		},
		"the broker blocks while it is queued": func(r *rig.Rig, c *client.Client) {
			r.Broker.Inject(amqptest.Rule{When: publishesTo("m"), Do: amqptest.Block(time.Second)})
			for range 3 {
				_, _ = c.Call(r.T.Context(), "m", hang, client.Idempotent(), client.WithAttempts(5), client.WithTimeout(100*time.Millisecond))
			}
		},
		"the connection is lost": func(r *rig.Rig, c *client.Client) {
			call := c.Go(r.T.Context(), "m", hang)
			synctest.Wait()
			r.Broker.Sever()
			_, _ = call.Result()
		},
		"the connection is lost at the publish": func(r *rig.Rig, c *client.Client) {
			r.Broker.Inject(amqptest.Rule{When: publishesTo("m"), Do: amqptest.SeverBefore()})
			_, _ = c.Call(r.T.Context(), "m", hang, client.Idempotent(), client.WithAttempts(2))
		},
		"a notification": func(r *rig.Rig, c *client.Client) { _ = c.Notify(r.T.Context(), "m", nil) },
		"a notification that is nacked": func(r *rig.Rig, c *client.Client) {
			r.Broker.Inject(amqptest.Rule{When: publishesTo("m"), Do: amqptest.Nack()})
			_ = c.Notify(r.T.Context(), "m", nil)
		},
		"a notification that is not confirmed": func(r *rig.Rig, c *client.Client) {
			r.Broker.Inject(amqptest.Rule{When: publishesTo("m"), Do: amqptest.NeverConfirm()})
			_ = c.Notify(r.T.Context(), "m", nil)
		},
		"the reply queue is gone": func(r *rig.Rig, c *client.Client) {
			call := c.Go(r.T.Context(), "m", hang, client.Idempotent(), client.WithAttempts(2))
			synctest.Wait()
			if err := r.Broker.DeleteQueue("/", replyQueue(r)); err != nil {
				r.T.Error(err)
			}
			_, _ = call.Result()
		},
		"nobody serves it": func(r *rig.Rig, c *client.Client) {
			r.Broker.Inject(amqptest.Rule{When: publishesTo("m"), Do: amqptest.Return()})
			_, _ = c.Call(r.T.Context(), "m", hang)
		},
		"it is refused": func(r *rig.Rig, c *client.Client) {
			_, _ = c.Call(r.T.Context(), "m", []byte("refuse"), client.WithAttempts(3))
		},
		"it is too large": func(r *rig.Rig, c *client.Client) { _, _ = c.Call(r.T.Context(), "m", make([]byte, 2<<20)) },
		"the broker is restarted": func(r *rig.Rig, c *client.Client) {
			call := c.Go(r.T.Context(), "m", hang, client.Idempotent(), client.WithAttempts(3))
			synctest.Wait()
			r.Broker.Restart(amqptest.LoseMessages)
			_, _ = call.Result()
		},
		"the policies are replaced": func(r *rig.Rig, c *client.Client) {
			call := c.Go(r.T.Context(), "m", hang)
			synctest.Wait()
			if err := c.SetPolicies(reliability.Rules{Methods: map[string]reliability.Policy{"*": brittlePolicy()}}); err != nil {
				r.T.Error(err)
			}
			_, _ = call.Result()
		},
	} {
		for _, hedged := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, hedged %v", name, hedged), func(t *testing.T) {
				rig.Bubble(t, func(r *rig.Rig) {
					serveProbes(r)
					l := &changes{}
					c := r.Ready(brittle(l), func(cfg *client.Config) {
						if hedged {
							spec := cfg.Policies.Methods["*"]
							spec.Idempotent, spec.Retry, spec.Hedge.Delay = new(true), exact(2), new(50*time.Millisecond)
							cfg.Policies.Methods = map[string]reliability.Policy{"*": spec}
						}
					})
					mustCall(r, c, "m", "warm up")
					b := breakerOf(c, "m")
					b.Force(time.Now(), reliability.ForcedOpen)
					b.Release(time.Now())
					time.Sleep(time.Millisecond)
					attack(r, c)
					time.Sleep(10 * time.Second) // the open period, if the probe failed
					if st := c.Stats(); st.Pending != 0 || c.Method("m").Bulkhead.InFlight() != 0 {
						r.T.Errorf("%+v", st)
					}
					mustCall(r, c, "m", "probe", client.WaitForServer())
					if state := b.State(time.Now()); state != reliability.Closed {
						r.T.Errorf("the breaker is %v", state)
					}
				})
			})
		}
	}
}

// serveProbes serves m on a queue that outlives connections.
func serveProbes(r *rig.Rig) {
	r.Serve(rig.Named("m"), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
		switch string(req.Body) {
		case "hang":
			<-ctx.Done()
			return nil, ctx.Err()
		case "refuse":
			return nil, warren.Errorf(warren.CodeUnavailable, "not now")
		default:
			return &warren.Reply{Body: req.Body}, nil
		}
	})
}

func TestClosedClientHasNoProbesOut(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(*scripted, int, amqp.Delivery) {})
		c := r.Ready(brittle(&changes{}))
		b := breakerOf(c, "m")
		b.Force(time.Now(), reliability.ForcedOpen)
		b.Release(time.Now())
		time.Sleep(time.Millisecond)
		call := c.Go(r.T.Context(), "m", nil)
		synctest.Wait()
		if _, refusal := b.Allow(time.Now()); refusal == nil {
			r.T.Fatal("there is room beside the probe")
		}
		_ = c.Close()
		_, err := call.Result()
		rig.WantError(r.T, err, warren.CodeCanceled, warren.ReasonClientClosed, warren.Unknown)
		if _, refusal := b.Allow(time.Now()); refusal != nil {
			r.T.Error(refusal)
		}
	})
}

func TestPanicInOnBreakerLeavesNothingOfTheCallBehind(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		plainServer(r, "m") // never answers
		c := r.Ready(withPolicy(reliability.Policy{Breaker: reliability.BreakerPolicy{Volume: new(1)}}), func(cfg *client.Config) {
			cfg.OnBreaker = func(reliability.Change) { panic("mine") }
		})
		func() {
			defer func() {
				if recover() != "mine" {
					r.T.Error("it does not panic")
				}
			}()
			_, _ = c.Call(r.T.Context(), "m", []byte("x"))
		}()
		if st := c.Stats(); st.Pending != 0 || st.PendingBytes != 0 || c.Method("m").Bulkhead.InFlight() != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}
