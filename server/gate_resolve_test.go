package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// resolved asks for a call of m, and says what it was told.
func resolved(r *rig.Rig, callID string, opts ...client.ResolveOption) string {
	r.T.Helper()
	res, err := r.Client().Resolve(r.T.Context(), "m", callID, opts...)
	if err != nil {
		return told(nil, err)
	}
	s := string(res.State) + ", " + res.Outcome.String()
	if res.Reply != nil {
		s += ": " + string(res.Reply.Body)
	}
	if res.Err != nil {
		s += ": " + told(nil, res.Err)
	}
	return s
}

func TestResolveTellsWhatTheRecordProves(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		young := time.Now()
		m := in(mode)
		m.Dedupe.Retention = time.Hour
		m.Dedupe.Lease = 5 * time.Minute
		var runs atomic.Int32
		serve(r, st, m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			runs.Add(1)
			switch string(req.Body) {
			case "fail":
				return nil, warren.Errorf(warren.CodeNotFound, "no")
			case "panic":
				panic("x")
			}
			return &warren.Reply{Body: req.Body}, nil
		})
		want(r, "of before the store", resolved(r, "young", client.IssuedAt(young.Add(5*time.Second))), "canceled, unknown")
		time.Sleep(2 * time.Hour)
		want(r, "success", ask(r, "1", "x"), "x")
		want(r, "completed", resolved(r, "1"), "completed, executed: x")
		want(r, "error", ask(r, "2", "fail"), "not_found/, executed")
		want(r, "failed", resolved(r, "2"), "failed, executed: not_found/, executed, replayed")
		want(r, "panic", ask(r, "3", "panic"), "internal/panic, executed")
		want(r, "panicked", resolved(r, "3"), "failed, executed: internal/panic, executed, replayed")

		now := time.Now()
		want(r, "absent", resolved(r, "4", client.IssuedAt(now)), "canceled, not_executed")
		want(r, "twice", resolved(r, "4", client.IssuedAt(now)), "canceled, not_executed")
		want(r, "twice, without a time", resolved(r, "4"), "canceled, unknown")
		want(r, "a call after it", ask(r, "4", "x"), "canceled/, not_executed")
		want(r, "without a time", resolved(r, "5"), "canceled, unknown")
		want(r, "older than records are kept", resolved(r, "6", client.IssuedAt(now.Add(-time.Hour))), "canceled, unknown")
		want(r, "nearly as old", resolved(r, "7", client.IssuedAt(now.Add(-50*time.Minute))), "canceled, not_executed")

		for _, id := range []string{"begun", "dead"} {
			lease := time.Minute
			if id == "dead" {
				lease = time.Second
			}
			if _, won, err := st.Claim(r.T.Context(), store.Claim{
				Key: store.Scope{Method: "m", CallID: id}.Key(), Lease: lease, Retention: time.Hour,
			}); err != nil || !won {
				r.T.Fatal(won, err)
			}
		}
		time.Sleep(2 * time.Second)
		want(r, "in progress", resolved(r, "begun", client.IssuedAt(now)), "in_progress, unknown")
		proof := "unknown"
		if mode == server.Transactional {
			proof = "not_executed"
		}
		for range 2 {
			want(r, "interrupted", resolved(r, "dead", client.IssuedAt(now)), "canceled, "+proof)
		}
		want(r, "a call after it", ask(r, "dead", "x"), "canceled/, "+proof)
		if runs.Load() != 3 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestResolveIsUnknownWhileTheStoreFails(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		var runs atomic.Int32
		serve(r, st, in(server.AtLeastOnce), counting(&runs))
		_ = st.Store.Close()
		want(r, "closed", resolved(r, "k", client.IssuedAt(time.Now()), client.ResolveTimeout(5*time.Second)),
			"unavailable/store_unavailable, unknown, later")
	})
}

// The call is on its way when it is resolved: it must not run after that.
func TestResolvedCallNeverRuns(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		time.Sleep(time.Minute)
		looked, goOn := make(chan struct{}), make(chan struct{})
		st.fail("claim", func(context.Context) error {
			close(looked)
			<-goOn
			return nil
		}, nil)
		var runs atomic.Int32
		serve(r, st, in(mode), counting(&runs))
		call := asking(r, "k", "x")
		<-looked // there was no record
		want(r, "resolved", resolved(r, "k", client.IssuedAt(time.Now())), "canceled, not_executed")
		close(goOn)
		want(r, "told", <-call, "canceled/, not_executed")
		if runs.Load() != 0 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestResolveByCallerSeesItsOwnCallsAlone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		m := in(server.AtLeastOnce)
		m.Dedupe.ByCaller = true
		var runs atomic.Int32
		serve(r, alone(r, memstore.Options{}), m, counting(&runs))
		want(r, "without a user", resolved(r, "k", client.ResolveTimeout(5*time.Second)), "unauthenticated/missing_identifier, unknown")
	})
}
