package server_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// twice is an interceptor that passes each request on a second time.
func twice(next warren.Handler) warren.Handler {
	return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
		_, _ = next(ctx, req)
		return next(ctx, req)
	}
}

// The second pass finds the record of the first, whose handler has failed all the same.
func TestKillSwitchCountsAHandlerWhoseRecordIsFoundByItsOwnRequest(t *testing.T) {
	withAndWithout(t, func(r *rig.Rig, _ *testStore, change func(*server.Config)) {
		s := r.NewServer(change)
		m := server.Method{
			Name: "m", KillSwitch: server.KillSwitch{Failures: 0.5, Volume: 5}, Interceptors: []warren.Interceptor{twice},
		}
		if err := s.HandleRaw(m, func(context.Context, *warren.Request) (*warren.Reply, error) {
			return nil, warren.Errorf(warren.CodeInternal, "broken")
		}); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		for i := range 5 {
			want(r, "what the caller is told", ask(r, fmt.Sprint(i), ""), told(nil, &warren.Error{
				Code: warren.CodeInternal, Outcome: warren.Executed, Replayed: s.Stats().Replays > 0,
			}))
		}
		if st := s.Stats(); st.Trips != 1 || st.Tripped != 1 {
			r.T.Errorf("%+v", st)
		}
	})
}

// A request that comes back as its acknowledgement was lost ends as it has ended,
// whatever passes its interceptors have made of it.
func TestInterceptorsDoNotSeeARequestThatHasEndedAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var passes atomic.Int32
		m := server.Method{Name: "m", Interceptors: []warren.Interceptor{
			func(next warren.Handler) warren.Handler {
				return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
					_, err := next(ctx, req)
					return &warren.Reply{Body: fmt.Append(nil, "pass ", passes.Add(1))}, err
				}
			}, twice,
		}}
		s := serve(r, alone(r, memstore.Options{}), m, rig.Echo)
		r.Broker.Inject(amqptest.Rule{
			When: amqptest.When{Method: "basic.ack", ConnName: "*server, consumes*"}, Do: amqptest.SeverBefore(),
		})
		p := r.Peer()
		p.Publish("m", raw(p, "1", ""))
		want(r, "the reply", toldRaw(r, p.Next()), "pass 1")
		time.Sleep(time.Minute)
		select {
		case d := <-p.Replies:
			r.T.Errorf("another reply: %s", toldRaw(r, d))
		default:
		}
		if st := s.Stats(); passes.Load() != 1 || st.Attached != 1 {
			r.T.Errorf("%d passes, %+v", passes.Load(), st)
		}
		if q := r.Queue("m"); q.Ready+q.Unacked != 0 {
			r.T.Errorf("%+v", q)
		}
	})
}
