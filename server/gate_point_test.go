package server_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// The hook is the process's: this test runs before the parallel ones go on.
//
//nolint:paralleltest // see above
func TestPointsAreReachedOnceAndInOrder(t *testing.T) {
	ran := []crashpoint.Point{
		crashpoint.Delivered, crashpoint.Claimed, crashpoint.InHandler, crashpoint.EffectDone, crashpoint.Committing,
		crashpoint.Committed, crashpoint.ReplyPublished, crashpoint.ReplyConfirmed, crashpoint.Acked,
	}
	without := func(points ...crashpoint.Point) []crashpoint.Point {
		return slices.DeleteFunc(slices.Clone(ran), func(p crashpoint.Point) bool { return slices.Contains(points, p) })
	}
	replayed := without(ran[1:6]...)
	for _, mode := range []server.Mode{server.AtLeastOnce, server.AtMostOnce, server.Transactional, server.NotDeduped} {
		for name, fails := range map[string]bool{"succeeds": false, "fails": true} {
			t.Run(mode.String()+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					var reached []crashpoint.Point
					crashpoint.Set(func(p crashpoint.Point, method, _ string) {
						mu.Lock()
						defer mu.Unlock()
						if method == "m" && slices.Contains(ran, p) {
							reached = append(reached, p)
						}
					})
					defer crashpoint.Set(nil)
					r := rig.New(t, amqptest.Options{Listen: "none"})
					var runs atomic.Int32
					serve(r, alone(r, memstore.Options{}), in(mode), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
						if fails {
							return nil, warren.Errorf(warren.CodeNotFound, "x")
						}
						return counting(&runs)(ctx, req)
					})
					expected, then := ran, replayed
					if mode == server.NotDeduped {
						expected = without(crashpoint.Claimed, crashpoint.Committing, crashpoint.Committed)
						then = expected
					}
					for _, points := range [][]crashpoint.Point{expected, then} {
						ask(r, "k", "x")
						time.Sleep(time.Second)
						mu.Lock()
						// It is told after the write, which the broker's answers may overtake.
						published := func(p crashpoint.Point) bool { return p == crashpoint.ReplyPublished }
						if i, j := slices.IndexFunc(reached, published), slices.IndexFunc(points, published); i > j {
							reached = slices.Insert(slices.Delete(reached, i, i+1), j, crashpoint.ReplyPublished)
						}
						if !slices.Equal(reached, points) {
							t.Errorf("reached %v; want %v", reached, points)
						}
						reached = nil
						mu.Unlock()
					}
				})
			})
		}
	}
}
