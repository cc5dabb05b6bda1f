package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// A claim that takes longer than its call has is no attempt of the call: nobody died,
// and it may be begun later.
func TestClaimWhoseHandlerWasNotEnteredIsUndone(t *testing.T) {
	slow := func(context.Context) error {
		time.Sleep(2 * time.Second)
		return nil
	}
	t.Run("deadline", func(t *testing.T) {
		inEachMode(t, func(r *rig.Rig, mode server.Mode) {
			st := alone(r, memstore.Options{})
			var runs atomic.Int32
			serve(r, st, in(mode), counting(&runs))
			st.fail("claim", nil, slow)
			want(r, "at first", ask(r, "k", "x", client.WithTimeout(time.Second)), "deadline_exceeded/, unknown")
			time.Sleep(5 * time.Second)
			if rec := recordOf(r, st, "k"); rec.State != store.Absent {
				r.T.Errorf("%+v", rec)
			}
			st.fail("claim", nil, nil)
			want(r, "then", ask(r, "k", "x"), "1")
			if runs.Load() != 1 {
				r.T.Errorf("%d runs", runs.Load())
			}
		})
	})
	t.Run("stop", func(t *testing.T) {
		inEachMode(t, func(r *rig.Rig, mode server.Mode) {
			var data memstore.Data
			st := shared(r, &data)
			var runs atomic.Int32
			s := mortal(r, st, in(mode), counting(&runs))
			claimed := make(chan struct{})
			st.fail("claim", nil, func(ctx context.Context) error {
				close(claimed)
				return slow(ctx)
			})
			call := asking(r, "k", "x", client.WaitForServer())
			<-claimed
			if err := stopWithin(r, s, 1500*time.Millisecond); err == nil {
				r.T.Error("nothing was cancelled")
			}
			if rec := recordOf(r, st, "k"); rec.State != store.Absent {
				r.T.Errorf("%+v", rec)
			}
			serve(r, shared(r, &data), in(mode), counting(&runs))
			want(r, "told", <-call, "1")
		})
	})
}
