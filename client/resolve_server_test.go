package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// The life of a call, as its caller learns of it from a server with a store.
func TestUnknownOutcomeIsMadeCertain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		records := memstore.New(memstore.Options{})
		r.T.Cleanup(func() { _ = records.Close() })
		s := r.NewServer(func(cfg *server.Config) { cfg.Store = records })
		entered, release := make(chan struct{}), make(chan struct{})
		for name, end := range map[string]error{"answers": nil, "refuses": warren.Errorf(warren.CodeNotFound, "no").WithReason("gone")} {
			if err := s.HandleRaw(rig.Named(name), func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
				entered <- struct{}{}
				<-release
				return &warren.Reply{Body: req.Body, Header: warren.Header{"h": "v"}}, end
			}); err != nil {
				r.T.Fatal(err)
			}
		}
		r.Start(s)
		c := r.Ready()
		time.Sleep(time.Minute) // calls are younger than the store
		resolve := func(method string, e warren.Error) *client.Resolution {
			got, err := c.Resolve(r.T.Context(), method, e.CallID, client.About(&e))
			if err != nil {
				r.T.Fatal(err)
			}
			return got
		}
		for _, method := range []string{"answers", "refuses"} {
			ctx, cancel := context.WithTimeout(r.T.Context(), time.Second)
			call := c.Go(ctx, method, []byte("x"))
			<-entered
			_, err := call.Result()
			cancel()
			lost := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
			if got := resolve(method, lost); got.State != client.InProgress {
				r.T.Fatalf("%+v", got)
			}
			release <- struct{}{}
			time.Sleep(time.Second)
			got := resolve(method, lost)
			switch method {
			case "answers":
				if got.State != client.Completed || string(got.Reply.Body) != "x" || got.Reply.Header["h"] != "v" || !got.Reply.Replayed {
					r.T.Errorf("%+v", got)
				}
			case "refuses":
				if got.State != client.Failed || got.Outcome != warren.Executed {
					r.T.Fatalf("%+v", got)
				}
				if e := rig.WantError(r.T, got.Err, warren.CodeNotFound, "gone", warren.Executed); !e.Replayed {
					r.T.Errorf("%+v", e)
				}
			}
		}
		// One that never came is kept from ever coming.
		proof := warren.ProofOf("", "", nil)
		missed := warren.Error{CallID: "missed", Issued: time.Now(), Proof: proof}
		for range 2 {
			if got := resolve("answers", missed); got.State != client.Canceled || got.Outcome != warren.NotExecuted {
				r.T.Fatalf("%+v", got)
			}
		}
		_, err := c.Call(r.T.Context(), "answers", nil, client.WithCallID("missed"))
		rig.WantError(r.T, err, warren.CodeCanceled, "", warren.NotExecuted)
		// Without its time that is not proven.
		if got := resolve("answers", warren.Error{CallID: "another", Proof: proof}); got.State != client.Canceled || got.Outcome != warren.Unknown {
			r.T.Errorf("%+v", got)
		}
	})
}
