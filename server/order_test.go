package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// withAndWithout runs the test on servers with a store and without.
func withAndWithout(t *testing.T, test func(r *rig.Rig, st *testStore, change func(*server.Config))) {
	t.Helper()
	for _, name := range []string{"without a store", "with a store"} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				if name == "without a store" {
					test(r, nil, func(*server.Config) {})
					return
				}
				st := alone(r, memstore.Options{})
				test(r, st, stored(st))
			})
		})
	}
}

// watching counts what the interceptors see of a method.
func watching(m server.Method, seen *atomic.Int64) server.Method {
	m.Interceptors = []warren.Interceptor{func(next warren.Handler) warren.Handler {
		return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			seen.Add(1)
			return next(ctx, req)
		}
	}}
	return m
}

func TestShedRequestsPassNoInterceptor(t *testing.T) {
	withAndWithout(t, func(r *rig.Rig, _ *testStore, change func(*server.Config)) {
		s := r.NewServer(change)
		var seen atomic.Int64
		m := watching(narrow("typed"), &seen)
		m.Concurrency, m.Prefetch = 1, 1
		err := server.Handle(s, m, func(_ context.Context, n int) (int, error) {
			time.Sleep(47 * time.Millisecond)
			return n, nil
		})
		if err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		p := r.Peer()
		for i := range 200 {
			p.Publish("typed", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: fmt.Sprint(i), Body: []byte("1")})
		}
		for range 200 {
			p.Next()
		}
		if st := s.Stats(); st.Shed == 0 || st.Handled+st.Shed != 200 || seen.Load() != int64(st.Handled) {
			r.T.Errorf("%d handled, %d shed, %d seen by the interceptors", st.Handled, st.Shed, seen.Load())
		}
	})
}

func TestRequestThatIsFetchedAsTheKillSwitchTripsPassesNoInterceptor(t *testing.T) {
	withAndWithout(t, func(r *rig.Rig, _ *testStore, change func(*server.Config)) {
		var seen atomic.Int64
		m := watching(server.Method{
			Name: "m", Concurrency: 1, Prefetch: 1,
			KillSwitch: server.KillSwitch{Failures: 0.5, Volume: 2, Probes: 1, Open: time.Second},
		}, &seen)
		s := r.NewServer(change)
		if err := s.HandleRaw(m, func(context.Context, *warren.Request) (*warren.Reply, error) {
			return nil, warren.Errorf(warren.CodeInternal, "x")
		}); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		for i := range 20 {
			_ = asking(r, fmt.Sprint(i), "x", client.WithTimeout(3*time.Second))
		}
		time.Sleep(5 * time.Second)
		if st := s.Stats(); st.Trips == 0 || seen.Load() != int64(st.Handled) {
			r.T.Errorf("%+v, %d seen by the interceptors", st, seen.Load())
		}
	})
}

// A body that the codec refuses is not a request that a handler saw.
func TestMalformedBodyIsRejectedAndNotHandled(t *testing.T) {
	withAndWithout(t, func(r *rig.Rig, _ *testStore, change func(*server.Config)) {
		s := r.NewServer(change)
		var seen atomic.Int64
		m := watching(server.Method{Name: "m"}, &seen)
		if err := server.Handle(s, m, func(_ context.Context, n int) (int, error) { return n, nil }); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		want(r, "told", ask(r, "k", "{", client.WithContentType("application/json")), "invalid_argument/malformed_body, not_executed")
		if st := s.Stats(); st.Handled != 0 || st.Rejected != 1 || st.Claims != 0 || seen.Load() != 1 {
			r.T.Errorf("%+v", st)
		}
	})
}

// An interceptor's refusal says so, whatever outcome its error has; of a request that
// was delivered before it is what the record of the call has.
func TestInterceptorsRefusalIsNotExecuted(t *testing.T) {
	withAndWithout(t, func(r *rig.Rig, st *testStore, change func(*server.Config)) {
		s := r.NewServer(change)
		refusals := map[string]error{
			"own":     warren.Errorf(warren.CodeUnauthenticated, "who?"),
			"any":     io.EOF,
			"claims":  &warren.Error{Code: warren.CodeInternal, Outcome: warren.Executed},
			"of call": &warren.Error{Code: warren.CodeUnavailable, Outcome: warren.Unknown, Method: "other"},
		}
		m := server.Method{Name: "m", Interceptors: []warren.Interceptor{func(warren.Handler) warren.Handler {
			return func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
				return nil, refusals[string(req.Body)]
			}
		}}}
		if err := s.HandleRaw(m, rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		p := r.Peer()
		outcomes := map[string]string{"absent": "unknown"}
		if st != nil {
			time.Sleep(time.Minute) // the store is older than the calls
			for state, outcome := range map[store.State]string{
				store.Completed: "executed", store.Tombstone: "not_executed", store.Interrupted: "unknown", store.InProgress: "unknown",
			} {
				put(r, st, state)
				outcomes[state.String()] = outcome
			}
		}
		var requests []amqp.Publishing
		for id := range outcomes {
			requests = append(requests, raw(p, id, "own"))
		}
		deliveredBefore(r, p, "m", requests...)
		r.Start(s)
		for range outcomes {
			d := p.Next()
			want(r, d.CorrelationId, toldRaw(r, d), "unauthenticated/, "+outcomes[d.CorrelationId])
		}
		for name := range refusals {
			if got := ask(r, name, name); !strings.HasSuffix(got, ", not_executed") {
				r.T.Errorf("%s: %q", name, got)
			}
		}
		if stats := s.Stats(); stats.Handled != 0 || stats.Rejected != uint64(len(refusals)+len(outcomes)) {
			r.T.Errorf("%+v", stats)
		}
	})
}

// put makes a record of a call of m, named for the state that it is to have.
func put(r *rig.Rig, st *testStore, state store.State) {
	r.T.Helper()
	c := store.Claim{
		Key: store.Scope{Method: "m", CallID: state.String()}.Key(), Method: "m", CallID: state.String(), Lease: time.Hour, Retention: time.Hour,
	}
	rec := store.Record{Key: c.Key}
	var err error
	if state == store.Tombstone {
		c.Fingerprint = store.ByProof(warren.ProofOf("", "", []byte("own")))
		_, err = st.Bury(r.T.Context(), c)
	} else {
		rec, _, err = st.Claim(r.T.Context(), c)
	}
	if state == store.Interrupted {
		err = errors.Join(err, st.Abandon(r.T.Context(), c.Key, rec.Token, store.Unended))
	}
	if state.Ended() {
		err = errors.Join(err, st.Complete(r.T.Context(), c.Key, rec.Token, store.Result{
			State: state, Payload: wire.EncodeStored(&warren.Reply{}, nil),
		}, time.Hour))
	}
	if err != nil {
		r.T.Fatal(err)
	}
}

// deliveredBefore has requests wait in a queue that were delivered to somebody else.
func deliveredBefore(r *rig.Rig, p *rig.Peer, queue string, requests ...amqp.Publishing) {
	r.T.Helper()
	if _, err := p.Channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		r.T.Fatal(err)
	}
	for _, req := range requests {
		p.Publish(queue, req)
	}
	time.Sleep(100 * time.Millisecond)
	var last uint64
	for range requests {
		d, ok, err := p.Channel.Get(queue, false)
		if err != nil || !ok {
			r.T.Fatal(ok, err)
		}
		last = d.DeliveryTag
	}
	if err := p.Channel.Nack(last, true, true); err != nil {
		r.T.Fatal(err)
	}
}

// What interceptors see of a handler's error is what its caller is told, and why.
func TestInterceptorsSeeTheOutcomeAndTheCause(t *testing.T) {
	withAndWithout(t, func(r *rig.Rig, _ *testStore, change func(*server.Config)) {
		s := r.NewServer(change)
		failures := map[string]error{
			"executed":     warren.Errorf(warren.CodeNotFound, "no: %w", io.EOF),
			"hidden":       fmt.Errorf("secret: %w", io.EOF),
			"not_executed": warren.NothingDone(fmt.Errorf("secret: %w", io.EOF)),
		}
		seen := make(chan error, 10)
		m := server.Method{Name: "m", Interceptors: []warren.Interceptor{func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				reply, err := next(ctx, req)
				seen <- err
				return reply, err
			}
		}}}
		if err := s.HandleRaw(m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			return nil, failures[string(req.Body)]
		}); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		for name := range failures {
			told := ask(r, name, name)
			err := <-seen
			e, ok := warren.AsError(err)
			if !ok || !errors.Is(err, io.EOF) || strings.Contains(e.Message, "secret") {
				r.T.Errorf("%s: %v", name, err)
				continue
			}
			if got := fmt.Sprintf("%v/%s, %v", e.Code, e.Reason, e.Outcome); got != told {
				r.T.Errorf("%s: interceptors see %q, the caller %q", name, got, told)
			}
		}
	})
}
