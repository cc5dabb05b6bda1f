package server_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/rig"
)

// A call that was begun, interrupted and then canceled may have had its effect: what
// is told of it later must not claim the contrary.
func TestCanceledCallIsNotExecutedOnlyIfItWasNeverBegun(t *testing.T) {
	for _, begun := range []bool{false, true} {
		for _, mode := range []server.Mode{server.AtLeastOnce, server.AtMostOnce} {
			t.Run(fmt.Sprintf("%v, begun: %t", mode, begun), func(t *testing.T) {
				rig.Bubble(t, func(r *rig.Rig) {
					var runs atomic.Int32
					st := newStore(r)
					s := r.NewServer(stored(st))
					if err := s.HandleRaw(server.Method{Name: "m", Dedupe: server.Dedupe{Mode: mode}}, counting(&runs)); err != nil {
						r.T.Fatal(err)
					}
					claim := store.Claim{
						Key: store.Scope{Method: "m", CallID: "k"}.Key(), Fingerprint: store.ByProof(warren.ProofOf("", "", nil)), Method: "m", CallID: "k",
						Lease: time.Hour, Retention: time.Hour,
					}
					outcome := warren.NotExecuted
					if begun {
						outcome = warren.Unknown
						rec, _, err := st.Claim(r.T.Context(), claim)
						if err != nil {
							r.T.Fatal(err)
						}
						if err := st.Abandon(r.T.Context(), rec.Key, rec.Token, store.Unended); err != nil {
							r.T.Fatal(err)
						}
					}
					if _, err := st.Bury(r.T.Context(), claim); err != nil {
						r.T.Fatal(err)
					}
					r.Start(s)
					_, err := r.Client().Call(r.T.Context(), "m", nil, client.WithCallID("k"))
					rig.WantError(r.T, err, warren.CodeCanceled, "", outcome)
					if runs.Load() != 0 {
						r.T.Errorf("%v: a canceled call has run", mode)
					}
				})
			})
		}
	}
}
