package server_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// refused starts a server that must not be let in, within a second, as another store
// remembers the method.
func refused(r *rig.Rig, st store.Store, m server.Method) {
	r.T.Helper()
	s := prepared(r, st, m, rig.Echo)
	ctx, cancel := context.WithTimeout(r.T.Context(), time.Second)
	defer cancel()
	err := s.Start(ctx)
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the calls of m are remembered by") ||
		!strings.Contains(err.Error(), st.Identity().ID) || !strings.Contains(err.Error(), "warren store adopt") {
		r.T.Fatalf("Start of a server with another store: %v", err)
	}
}

// Two servers with a store each are apart in time by the owner's queue, and not in
// what they remember.
func TestStandbyWithAStoreOfItsOwnNeverServes(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var runs atomic.Int32
		st := alone(r, memstore.Options{})
		first := mortal(r, st, in(mode), counting(&runs))
		want(r, "told", ask(r, "k", "x"), "1")
		other := alone(r, memstore.Options{})
		refused(r, other, in(mode)) // which is told long before it would matter
		kill(first, st)
		refused(r, other, in(mode))
		if runs.Load() != 1 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestMethodIsServedByWhoeverHasItsStore(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var data memstore.Data
		var runs atomic.Int32
		for range 3 {
			st := moved(r, &data)
			s := mortal(r, st, in(mode), counting(&runs))
			if got := ask(r, "k", "x"); !strings.HasPrefix(got, "1") {
				r.T.Errorf("told %q", got)
			}
			kill(s, st)
		}
		if runs.Load() != 1 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

// The memory is named by the error, and may be replaced by whoever names it.
func TestStoreReplacesTheOneThatItNamesAndNoOther(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		old, next, third := alone(r, memstore.Options{}), alone(r, memstore.Options{}), alone(r, memstore.Options{})
		kill(mortal(r, old, in(server.AtMostOnce), rig.Echo), old)
		m := in(server.AtMostOnce)
		m.Dedupe.Replaces = third.Identity().ID
		refused(r, next, m)
		m.Dedupe.Replaces = old.Identity().ID
		for _, id := range []string{"j", "k"} { // what is left in the program does no harm
			s := mortal(r, next, m, rig.Echo)
			want(r, "told", ask(r, id, "x"), "x")
			if err := s.Stop(r.T.Context()); err != nil {
				r.T.Fatal(err)
			}
		}
		refused(r, old, in(server.AtMostOnce))
		refused(r, third, m)
	})
}

// A store that replaces another waits until that one's server has gone.
func TestStoreReplacesNoneThatIsAtWork(t *testing.T) {
	own := func(r *rig.Rig) *testStore { return alone(r, memstore.Options{}) }
	common := func(r *rig.Rig) *testStore { return shared(r, new(memstore.Data)) }
	for name, c := range map[string]struct{ old, next func(*rig.Rig) *testStore }{
		"own by own":       {own, own},
		"own by shared":    {own, common},
		"shared by own":    {common, own},
		"shared by shared": {common, common},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				old, next := c.old(r), c.next(r)
				first := mortal(r, old, in(server.AtMostOnce), counting(&runs))
				m := in(server.AtMostOnce)
				m.Dedupe.Replaces = old.Identity().ID
				second := prepared(r, next, m, rig.Echo)
				ready := make(chan error, 1)
				go func() { ready <- second.Start(r.T.Context()) }()
				time.Sleep(30 * time.Second)
				want(r, "told", ask(r, "k", "x"), "1")
				if err := first.Stop(r.T.Context()); err != nil {
					r.T.Fatal(err)
				}
				if err := <-ready; err != nil {
					r.T.Fatal(err)
				}
				want(r, "told by the second", ask(r, "j", "x"), "x")
				if err := second.Stop(r.T.Context()); err != nil {
					r.T.Fatal(err)
				}
			})
		})
	}
}

func TestMemoryThatIsGoneIsMadeAgainByWhoServes(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		s := mortal(r, st, in(server.AtMostOnce), rig.Echo)
		if err := r.Broker.DeleteQueue("/", "warren.memory.m"); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		r.Queue("warren.memory.m")
		kill(s, st)
		refused(r, alone(r, memstore.Options{}), in(server.AtMostOnce))
	})
}

func TestServersThatShareAStoreKeepOthersOut(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data, others memstore.Data
		serve(r, shared(r, &data), in(server.AtMostOnce), rig.Echo)
		refused(r, shared(r, &others), in(server.AtMostOnce))
		refused(r, alone(r, memstore.Options{}), in(server.AtMostOnce))
		serve(r, shared(r, &data), in(server.AtMostOnce), rig.Echo)
	})
}

// A store that forgets with its process has nothing that another could lack.
func TestStoreThatForgetsHasNoMemoryBesideTheMethod(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		for range 2 {
			s := memstore.New(memstore.Options{})
			defer s.Close()
			srv := mortal(r, s, in(server.AtLeastOnce), rig.Echo)
			want(r, "told", ask(r, "k", "x"), "x")
			if err := srv.Stop(r.T.Context()); err != nil {
				r.T.Fatal(err)
			}
		}
	})
}

// Somebody gives the method to another store while it is served.
func TestMethodWhoseMemoryChangesIsLeftOutAndOthersAreServed(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		log := new(rig.Log)
		st := alone(r, memstore.Options{})
		s := r.NewServer(stored(st), func(cfg *server.Config) { cfg.Logger = log.Logger() })
		var runs atomic.Int32
		for _, name := range []string{"m", "other"} {
			if err := s.HandleRaw(server.Method{Name: name}, counting(&runs)); err != nil {
				r.T.Fatal(err)
			}
		}
		r.Start(s)
		ch := r.Peer().Channel
		if _, err := ch.QueueDelete("warren.memory.m", false, false, false); err != nil {
			r.T.Fatal(err)
		}
		if _, err := ch.QueueDeclare("warren.memory.m", true, false, false, false, amqp.Table{
			"x-queue-type": "quorum", "x-max-length": int64(0), "x-overflow": "reject-publish",
			"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "0123456789abcdef@20261130T110509Z",
		}); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if q := r.Queue("m"); q.Consumers != 0 {
			r.T.Errorf("the method is consumed: %+v", q)
		}
		if q := r.Queue("warren.control.m"); q.Consumers != 0 {
			r.T.Errorf("questions about the method are answered: %+v", q)
		}
		if q := r.Queue("other"); q.Consumers != 1 {
			r.T.Errorf("the other method is not consumed: %+v", q)
		}
		for _, says := range []string{"the calls of m are remembered by store 0123456789abcdef of 2026-11-30T11:05:09Z", st.Identity().ID} {
			if !strings.Contains(log.String(), says) {
				r.T.Errorf("the log does not say %q", says)
			}
		}
	})
}

// What became of a call is told by the store that knows, never by a standby's.
func TestServerThatWaitsForItsMethodAnswersNoQuestions(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		first := mortal(r, moved(r, &data), in(server.AtMostOnce), rig.Echo)
		second := prepared(r, moved(r, &data), in(server.AtMostOnce), rig.Echo)
		ctx, cancel := context.WithTimeout(r.T.Context(), 10*time.Second)
		defer cancel()
		ready := make(chan error, 1)
		go func() { ready <- second.Start(ctx) }()
		time.Sleep(5 * time.Second)
		if q := r.Queue("warren.control.m"); q.Consumers != 1 {
			r.T.Errorf("%+v", q)
		}
		if err := <-ready; !errors.Is(err, context.DeadlineExceeded) {
			r.T.Errorf("Start: %v", err)
		}
		if err := first.Stop(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
	})
}
