package server_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// durable is a store in memory that claims to be durable: nothing dies in a test
// that uses it.
type durable struct{ *memstore.Store }

func (d durable) Traits() store.Traits { return store.Traits{Durable: true} }

// stored makes a server with that store.
func stored(s store.Store) func(*server.Config) {
	return func(cfg *server.Config) { cfg.Store = s }
}

func newStore(r *rig.Rig) durable {
	s := memstore.New(memstore.Options{})
	r.T.Cleanup(func() { _ = s.Close() })
	return durable{s}
}

// counting counts its runs and answers with the number of the run.
func counting(n *atomic.Int32) warren.Handler {
	return func(context.Context, *warren.Request) (*warren.Reply, error) {
		return &warren.Reply{ContentType: "text/plain", Header: warren.Header{"h": "v"}, Body: fmt.Append(nil, n.Add(1))}, nil
	}
}

func TestRepeatedCallIsAnsweredWithTheReplyThatItHad(t *testing.T) {
	for _, mode := range []server.Mode{server.AtLeastOnce, server.AtMostOnce} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				s := r.NewServer(stored(newStore(r)))
				if err := s.HandleRaw(server.Method{Name: "m", Dedupe: server.Dedupe{Mode: mode}}, counting(&runs)); err != nil {
					r.T.Fatal(err)
				}
				r.Start(s)
				for i := range 3 {
					// Each time another client: nothing is joined.
					reply, err := r.Client().Call(r.T.Context(), "m", []byte("x"), client.WithCallID("k"))
					if err != nil {
						r.T.Fatal(err)
					}
					if string(reply.Body) != "1" || reply.ContentType != "text/plain" || reply.Header["h"] != "v" || reply.Replayed != (i > 0) {
						r.T.Errorf("reply %d: %+v", i, reply)
					}
				}
				_, err := r.Client().Call(r.T.Context(), "m", []byte("y"), client.WithCallID("k"))
				rig.WantError(r.T, err, warren.CodeAlreadyExists, warren.ReasonKeyReused, warren.NotExecuted)
				if st := s.Stats(); runs.Load() != 1 || st.Claims != 1 || st.Replays != 2 || st.Conflicts != 1 || st.Handled != 1 {
					r.T.Errorf("%d runs, %+v", runs.Load(), st)
				}
			})
		})
	}
}
