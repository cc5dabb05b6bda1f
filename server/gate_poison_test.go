package server_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// ward is a handler under which servers die: of the body "poison" at once, while
// all others run for a while.
type ward struct {
	died chan struct{}

	mu       sync.Mutex
	at       map[string]int // bodies that are at work
	deaths   int
	cured    bool
	together int // most innocents beside a poison in its last attempt
	ran      map[string]int
}

func newWard() *ward {
	return &ward{died: make(chan struct{}), at: map[string]int{}, ran: map[string]int{}}
}

func (w *ward) handle(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
	body := string(req.Body)
	w.mu.Lock()
	w.at[body]++
	w.ran[body]++
	cured := w.cured
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.at[body]--
	}()
	if body == "poison" && !cured {
		time.Sleep(100 * time.Millisecond) // the others have begun
		w.mu.Lock()
		if w.deaths++; w.deaths%3 == 0 {
			w.together = max(w.together, w.at["innocent"])
		}
		w.mu.Unlock()
		w.died <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(time.Second):
		return &warren.Reply{Body: []byte("healthy")}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// burying serves m with one server after the other until so many have died.
func (w *ward) burying(r *rig.Rig, data *memstore.Data, m server.Method, deaths int) {
	r.T.Helper()
	for range deaths {
		st := shared(r, data)
		s := mortal(r, st, m, w.handle)
		<-w.died
		kill(s, st)
	}
}

func TestPoisonIsParkedAndItsNeighboursAreNot(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		m := in(server.AtLeastOnce)
		m.Dedupe.Park = 3
		w := newWard()
		s := prepared(r, shared(r, &data), m, w.handle)
		if err := s.Start(r.T.Context()); err != nil { // declares the queues
			r.T.Fatal(err)
		}
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		c := r.Client()
		poison := c.Go(r.T.Context(), "m", []byte("poison"), client.WithCallID("bad"), client.WithHeader("a", "b"),
			client.WithAttempts(1), client.WithTimeout(10*time.Minute), client.WaitForServer())
		var innocents []<-chan string
		for _, id := range []string{"1", "2", "3", "4"} {
			innocents = append(innocents, asking(r, id, "innocent", client.WithTimeout(10*time.Minute), client.WaitForServer()))
		}
		synctest.Wait()
		w.burying(r, &data, m, 3)
		if w.together != 0 || w.ran["innocent"] < 8 {
			r.T.Errorf("the last attempt ran beside %d others; %v", w.together, w.ran)
		}
		st := shared(r, &data)
		s = serve(r, st, m, w.handle)
		reply, err := poison.Result()
		want(r, "the poison", told(reply, err), "internal/poisoned, unknown")
		for _, innocent := range innocents {
			want(r, "an innocent", strings.TrimSuffix(<-innocent, ", replayed"), "healthy")
		}
		want(r, "the poison again", ask(r, "bad", "poison", client.WithHeader("a", "b")), "internal/poisoned, unknown, replayed")
		if w.ran["poison"] != 3 || s.Stats().Parked != 1 {
			r.T.Errorf("%v, %+v", w.ran, s.Stats())
		}
		p := r.Peer()
		d, ok, err := p.Channel.Get("m.dead", true)
		if err != nil || !ok {
			r.T.Fatal(ok, err)
		}
		e, _ := warren.AsError(poisonErr(poison))
		for key, expected := range map[string]string{
			"a": "b", wire.DeadReason: "poisoned", wire.DeadAttempts: "3", wire.DeadMethod: "m", wire.DeadIncident: e.Incident,
			wire.DeadError: e.Message,
		} {
			if d.Headers[key] != expected {
				r.T.Errorf("header %s is %v; want %q", key, d.Headers[key], expected)
			}
		}
		written, _ := d.Headers[wire.DeadAt].(string)
		if at, err := time.Parse(time.RFC3339, written); err != nil || time.Since(at) > 5*time.Minute {
			r.T.Errorf("parked at %v, %v", at, err)
		}
		if d.CorrelationId != "bad" || string(d.Body) != "poison" || d.Expiration != "" || r.Queue("m.dead").Ready != 0 {
			r.T.Errorf("%+v", d)
		}
		// An operator lets it run again: its handler has been mended.
		w.mu.Lock()
		w.cured = true
		w.mu.Unlock()
		msg := raw(p, "bad", "poison")
		msg.Headers = amqp.Table{"a": "b", wire.ReplayMark: wire.Replay{Incident: e.Incident}.Mark()}
		p.Publish("m", msg)
		want(r, "the replay", toldRaw(r, p.Next()), "healthy")
		if rec := recordOf(r, st, "bad"); rec.State != store.Completed || rec.Attempts != 1 || w.ran["poison"] != 4 {
			r.T.Errorf("%+v; %v", rec, w.ran)
		}
		msg.Headers = amqp.Table{"a": "b"}
		p.Publish("m", msg)
		want(r, "the poison at last", toldRaw(r, p.Next()), "healthy, replayed")
	})
}

func poisonErr(f *client.Future) error {
	_, err := f.Result()
	return err
}

func TestOrderlyStopsAreNoDeaths(t *testing.T) {
	for _, mode := range []server.Mode{server.AtLeastOnce, server.Transactional} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var data memstore.Data
				m := in(mode)
				m.Dedupe.Park = 2
				g := rig.NewGate()
				call := (<-chan string)(nil)
				for i := range 6 {
					s := mortal(r, shared(r, &data), m, g.Handle)
					if i == 0 {
						call = asking(r, "k", "x", client.WaitForServer())
					}
					<-g.Entered
					if err := stopWithin(r, s, time.Second); err == nil {
						r.T.Error("the handler was not cancelled")
					}
				}
				close(g.Release)
				serve(r, shared(r, &data), m, g.Handle)
				want(r, "told", <-call, "x")
			})
		})
	}
}

func TestParkedCallWhoseEndIsNotKeptIsNotTakenForExecuted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{MaxPayload: -1})
		for range 5 {
			if _, won, err := st.Claim(r.T.Context(), store.Claim{
				Key: store.Scope{Method: "m", CallID: "k"}.Key(), Lease: time.Second, Retention: time.Hour,
			}); err != nil || !won {
				r.T.Fatal(won, err)
			}
			time.Sleep(time.Second)
		}
		var runs atomic.Int32
		serve(r, st, in(server.AtLeastOnce), counting(&runs))
		want(r, "parked", ask(r, "k", "x"), "internal/poisoned, unknown")
		want(r, "again", ask(r, "k", "x"), "internal/poisoned, unknown, replayed")
		res, err := r.Client().Resolve(r.T.Context(), "m", "k", knows("x"))
		if err != nil || res.State != client.Failed || res.Outcome != warren.Unknown || runs.Load() != 0 {
			r.T.Errorf("%+v, %v", res, err)
		}
	})
}

// The last attempt of a call waits for the others of its method; what these call
// meanwhile, by way of the same server, must not wait for it in turn for ever.
func TestWaitToBeAloneEndsWithTheDeadline(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		for range 4 {
			if _, won, err := st.Claim(r.T.Context(), store.Claim{
				Key: store.Scope{Method: "m", CallID: "last"}.Key(), Lease: time.Second, Retention: time.Hour,
			}); err != nil || !won {
				r.T.Fatal(won, err)
			}
			time.Sleep(time.Second)
		}
		c := r.Client()
		entered := make(chan struct{})
		serve(r, st, in(server.AtLeastOnce), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if string(req.Body) != "outer" {
				return &warren.Reply{Body: req.Body}, nil
			}
			close(entered)
			time.Sleep(time.Second) // the last attempt waits
			return c.Call(ctx, "m", []byte("inner"), client.WithAttempts(1))
		})
		outer := asking(r, "outer", "outer")
		<-entered
		began := time.Now()
		last := asking(r, "last", "x", client.WithTimeout(5*time.Second))
		// At that moment the server gives it up, and its caller too.
		want(r, "the last attempt", strings.Replace(<-last, "expired", "", 1), "deadline_exceeded/, unknown")
		want(r, "the outer call", <-outer, "inner")
		if took := time.Since(began); took > 10*time.Second {
			r.T.Errorf("it took %v", took)
		}
		want(r, "the last attempt, later", ask(r, "last", "x"), "x")
	})
}

func TestLastAttemptIsAlone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		for range 4 {
			if _, won, err := st.Claim(r.T.Context(), store.Claim{
				Key: store.Scope{Method: "m", CallID: "last"}.Key(), Lease: time.Second, Retention: time.Hour,
			}); err != nil || !won {
				r.T.Fatal(won, err)
			}
			time.Sleep(time.Second)
		}
		var mu sync.Mutex
		var entered, left []string
		s := serve(r, st, in(server.AtLeastOnce), func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			mu.Lock()
			entered = append(entered, string(req.Body))
			if len(entered) > 1 && (string(req.Body) == "last" || entered[len(entered)-2] == "last") && len(left) != len(entered)-1 {
				r.T.Errorf("%v were begun, and %v had ended", entered, left)
			}
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			left = append(left, string(req.Body))
			return &warren.Reply{Body: req.Body}, nil
		})
		var calls []<-chan string
		for i, body := range []string{"before", "last", "after"} {
			calls = append(calls, asking(r, body, body))
			patience.Eventually(r.T, "the request of "+body, func() bool { return s.Stats().Requests == uint64(i+1) })
			synctest.Wait()
		}
		for i, body := range []string{"before", "last", "after"} {
			want(r, body, <-calls[i], body)
		}
		if strings.Join(entered, " ") != "before last after" {
			r.T.Errorf("%v were begun", entered)
		}
	})
}
