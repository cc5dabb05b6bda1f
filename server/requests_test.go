package server_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// kinds of requests, by a peer.
var kinds = map[string]func(p *rig.Peer, callID string) amqp.Publishing{
	"call": func(p *rig.Peer, callID string) amqp.Publishing { return raw(p, callID, "x") },
	"call with a nonce": func(p *rig.Peer, callID string) amqp.Publishing {
		msg := raw(p, callID, "x")
		msg.Type += ";x=1"
		return msg
	},
	"notification": func(_ *rig.Peer, callID string) amqp.Publishing {
		meta := wire.Meta{Kind: wire.KindCall, Attempt: 1, Issued: time.Now()}
		return amqp.Publishing{Type: meta.Encode(), CorrelationId: callID, Body: []byte("x")}
	},
	"plain call": func(p *rig.Peer, callID string) amqp.Publishing {
		return amqp.Publishing{ReplyTo: p.Queue, CorrelationId: callID, Body: []byte("x"), Headers: amqp.Table{"a": "b", "c": "d"}}
	},
	"plain notification": func(_ *rig.Peer, callID string) amqp.Publishing {
		return amqp.Publishing{CorrelationId: callID, Body: []byte("x")}
	},
}

func TestRequestThatComesBackIsNotRunBesideItself(t *testing.T) {
	for name, request := range kinds {
		t.Run(name, func(t *testing.T) {
			withAndWithout(t, func(r *rig.Rig, _ *testStore, change func(*server.Config)) {
				g := rig.NewGate()
				s := r.NewServer(change)
				if err := s.HandleRaw(server.Method{Name: "m", Concurrency: 2, Prefetch: 4}, g.Handle); err != nil {
					r.T.Fatal(err)
				}
				r.Start(s)
				p := r.Peer()
				p.Publish("m", request(p, "held"))
				<-g.Entered
				for range 3 {
					severed(r)
					time.Sleep(5 * time.Second)
				}
				if st := s.Stats(); st.Attached != 3 || g.Runs.Load() != 1 {
					r.T.Errorf("%d runs, %+v", g.Runs.Load(), st)
				}
				// It has one place of the two.
				p.Publish("m", request(p, "other"))
				select {
				case id := <-g.Entered:
					want(r, "the other", id, "other")
				case <-time.After(patience.Soon):
					r.T.Fatal("the other has no place")
				}
				close(g.Release)
				if msg := request(p, ""); msg.ReplyTo != "" {
					p.Next()
					p.Next()
				}
				time.Sleep(5 * time.Second)
				if q := r.Queue("m"); q.Ready+q.Unacked != 0 || g.Runs.Load() != 2 {
					r.T.Errorf("%d runs, %+v", g.Runs.Load(), q)
				}
				p.NoMore()
			})
		})
	}
}

// The end of a request, too, is not run again when that comes back: it is acknowledged,
// and what has not been sent of its answer is sent.
func TestRequestThatHasEndedIsAcknowledgedWhenItComesBack(t *testing.T) {
	for name, fault := range map[string]amqptest.Rule{
		"its acknowledgement is lost": {
			When: amqptest.When{Method: "basic.ack", ConnName: "*server, consumes*"}, Do: amqptest.SeverBefore(),
		},
		"its reply is not taken": {
			When: amqptest.When{Method: "basic.publish", ConnName: "*server, publishes*"}, Do: amqptest.Nack(),
		},
	} {
		for kind, request := range kinds {
			t.Run(name+", "+kind, func(t *testing.T) {
				rig.Bubble(t, func(r *rig.Rig) {
					ends := map[string]func() (*warren.Reply, error){
						"reply":        func() (*warren.Reply, error) { return &warren.Reply{Body: []byte("r")}, nil },
						"error":        func() (*warren.Reply, error) { return nil, warren.Errorf(warren.CodeUnavailable, "later") },
						"nothing done": func() (*warren.Reply, error) { return nil, warren.NothingDone(warren.Errorf(warren.CodeAborted, "x")) },
						"panic":        func() (*warren.Reply, error) { panic("x") },
					}
					var mu sync.Mutex
					runs := map[string]int{}
					g := rig.NewGate()
					r.Serve(server.Method{Name: "m"}, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
						mu.Lock()
						runs[req.CallID]++
						mu.Unlock()
						if _, err := g.Handle(ctx, req); err != nil {
							return nil, err
						}
						return ends[req.CallID]()
					})
					p := r.Peer()
					for end := range ends {
						p.Publish("m", request(p, end))
						<-g.Entered
					}
					if fault.When.Method == "basic.publish" {
						severed(r)
						r.Broker.Inject(amqptest.Rule{
							When: amqptest.When{Method: "connection.open", ConnName: "*server, consumes*"}, Do: amqptest.Delay(5 * time.Second),
						})
					}
					for range ends {
						r.Broker.Inject(fault)
						g.Release <- struct{}{}
						time.Sleep(10 * time.Second)
					}
					close(g.Release)
					if request(p, "").ReplyTo != "" {
						told := map[string]bool{}
						for len(told) < len(ends) {
							told[p.Next().CorrelationId] = true
						}
					}
					time.Sleep(10 * time.Second)
					mu.Lock()
					defer mu.Unlock()
					for end := range ends {
						// Whether the acknowledgement of a plain request, whose ID may be used again,
						// was written or is lost, nothing tells it from another one after that.
						again := strings.HasPrefix(kind, "plain") && fault.When.Method == "basic.ack"
						if runs[end] != 1 && !again {
							r.T.Errorf("%s: %d runs", end, runs[end])
						}
					}
					if q := r.Queue("m"); q.Ready+q.Unacked != 0 {
						r.T.Errorf("%+v", q)
					}
				})
			})
		}
	}
}

// Requests that look the same and are not each run.
func TestRequestsThatLookTheSameAreRunEach(t *testing.T) {
	for name, callID := range map[string]string{"an ID": "1", "no ID": ""} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				g := rig.NewGate()
				s := r.Serve(server.Method{Name: "m", Concurrency: 3, Prefetch: 4}, g.Handle)
				p := r.Peer()
				for range 4 {
					p.Publish("m", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: callID, Body: []byte("x")})
				}
				synctest.Wait()
				severed(r)
				time.Sleep(5 * time.Second)
				close(g.Release)
				for range 4 {
					p.Next()
				}
				time.Sleep(5 * time.Second)
				if q := r.Queue("m"); q.Ready+q.Unacked != 0 || callID != "" && g.Runs.Load() < 4 {
					r.T.Errorf("%d runs, %+v, %+v", g.Runs.Load(), q, s.Stats())
				}
			})
		})
	}
}

// Time in the prefetch counts for the consumer timeout, and at its end all that the
// channel holds is handed out again, while the handler runs on.
func TestHandlerThatOutlivesTheConsumerTimeoutRunsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, amqptest.Options{Listen: "none", ConsumerTimeout: time.Minute})
		g := rig.NewGate()
		s := r.Serve(server.Method{Name: "m", Concurrency: 1, Prefetch: 3}, g.Handle)
		var calls []<-chan string
		for _, id := range []string{"1", "2", "3"} {
			calls = append(calls, asking(r, id, "x", client.WithTimeout(time.Hour)))
		}
		for range calls {
			time.Sleep(45 * time.Second)
			g.Release <- struct{}{}
		}
		for _, call := range calls {
			want(r, "told", <-call, "x")
		}
		time.Sleep(10 * time.Second)
		if q := r.Queue("m"); g.Runs.Load() != 3 || s.Stats().Attached == 0 || q.Ready+q.Unacked != 0 {
			r.T.Errorf("%d runs, %+v, %+v", g.Runs.Load(), s.Stats(), q)
		}
	})
}

// A request that another server has had in between may have been begun there: what this
// one's run says of itself is not the whole truth.
func TestRequestThatAnotherServerHasHadIsNotToldAsNotExecuted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(server.Method{Name: "m"}, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if _, err := g.Handle(ctx, req); err != nil {
				return nil, err
			}
			return nil, warren.NothingDone(warren.Errorf(warren.CodeUnavailable, "x"))
		})
		p, other := r.Peer(), r.Peer() // that is another server
		p.Publish("m", kinds["call with a nonce"](p, "id"))
		<-g.Entered
		severed(r)
		patience.Eventually(r.T, "the other server has it", func() bool {
			_, has, err := other.Channel.Get("m", false)
			if err != nil {
				r.T.Fatal(err)
			}
			return has
		})
		time.Sleep(10 * time.Second) // it runs there
		_ = other.Channel.Close()    // and that server dies
		time.Sleep(5 * time.Second)
		close(g.Release)
		meta, err := wire.DecodeMeta(p.Next().Type)
		if err != nil || meta.Outcome != warren.Unknown || meta.Code != warren.CodeUnavailable {
			r.T.Errorf("%+v, %v", meta, err)
		}
		if n := g.Runs.Load(); n != 1 {
			r.T.Errorf("%d runs", n)
		}
	})
}
