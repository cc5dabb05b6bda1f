package gateway_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// What callers leave behind them is in the queue, and a bound that they could pass by
// leaving would be none.
func TestCallersWhoLeaveDoNotPassTheirRoutesBound(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		gate := rig.NewGate()
		r.Serve(rig.Named("m"), gate.Handle)
		c := r.Ready()
		g, err := gateway.New(c, gateway.Config{Routes: []gateway.Route{{Pattern: "GET /m", Method: "m", Concurrency: 5}}})
		if err != nil {
			r.T.Fatal(err)
		}
		var callers sync.WaitGroup
		for range 200 {
			callers.Go(func() {
				ctx, leave := context.WithCancel(r.T.Context())
				time.AfterFunc(time.Millisecond, leave)
				ask(ctx, g, "GET", "/m", "", nil)
			})
			time.Sleep(2 * time.Millisecond)
		}
		if n := gate.Runs.Load(); n != 5 || g.Stats().AtWork != 5 || c.Stats().Pending != 5 {
			r.T.Errorf("%d handlers run behind a bound of 5: %+v, %+v", n, g.Stats(), c.Stats())
		}
		wantProblem(r.T, ask(r.T.Context(), g, "GET", "/m", "", nil), 429, "resource_exhausted", "route_limit", "not_executed")
		close(gate.Release)
		callers.Wait()
		wantStatus(r.T, ask(r.T.Context(), g, "GET", "/m", "", nil), 204)
	})
}

func TestPlaceOfACallerWhoLeavesIsFreeOnceItsCallHasEnded(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		gate := rig.NewGate()
		r.Serve(rig.Named("m"), gate.Handle)
		c := r.Ready()
		for _, tt := range []struct {
			answered bool
			want     string
			// At the deadline the handler ends too, and its reply may be the first to come.
		}{{true, "outcome=executed"}, {false, "code=deadline_exceeded"}} {
			var log rig.Log
			g, err := gateway.New(c, gateway.Config{
				Routes: []gateway.Route{{Pattern: "GET /m", Method: "m", Concurrency: 1, Timeout: 9 * time.Second}}, AccessLog: log.Logger(),
			})
			if err != nil {
				r.T.Fatal(err)
			}
			ctx, leave := context.WithCancel(r.T.Context())
			began, done := time.Now(), make(chan struct{})
			go func() {
				defer close(done)
				ask(ctx, g, "GET", "/m", "", nil)
			}()
			<-gate.Entered
			leave()
			time.Sleep(5 * time.Second)
			if g.Stats().AtWork != 1 || c.Stats().Pending != 1 {
				r.T.Errorf("%+v, %+v", g.Stats(), c.Stats())
			}
			if tt.answered {
				gate.Release <- struct{}{}
			}
			<-done
			if !tt.answered {
				rig.Took(r.T, began, 9*time.Second)
			}
			if g.Stats().AtWork != 0 || c.Stats().Pending != 0 || !strings.Contains(log.String(), "status=499") || !strings.Contains(log.String(), tt.want) {
				r.T.Errorf("%+v, %+v, %s", g.Stats(), c.Stats(), log.String())
			}
		}
		close(gate.Release)
	})
}

// Nothing of it will ever be in the queue.
func TestPlaceOfACallerWhoLeavesBeforeItsCallIsSentIsFreeAtOnce(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var log rig.Log
		c := r.Client(func(cfg *client.Config) { cfg.NoServer = client.Wait })
		g, err := gateway.New(c, gateway.Config{Routes: []gateway.Route{{Pattern: "GET /m", Method: "m"}}, AccessLog: log.Logger()})
		if err != nil {
			r.T.Fatal(err)
		}
		ctx, leave := context.WithCancel(r.T.Context())
		go ask(ctx, g, "GET", "/m", "", nil)
		synctest.Wait()
		if g.Stats().AtWork != 1 {
			r.T.Errorf("%+v", g.Stats())
		}
		leave()
		synctest.Wait()
		if g.Stats().AtWork != 0 || c.Stats().Pending != 0 || !strings.Contains(log.String(), "status=499") || !strings.Contains(log.String(), "outcome=not_executed") {
			r.T.Errorf("%+v, %+v, %s", g.Stats(), c.Stats(), log.String())
		}
	}, amqptest.Rule{When: amqptest.When{Method: "connection.open"}, Times: amqptest.Always, Do: amqptest.Drop()})
}
