package client_test

import (
	"testing"
	"testing/synctest"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rig"
)

func TestSuccessTakesTheLockOfItsCallThreeTimesAtMost(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		locks := client.CountLocks(c)
		for name, opts := range map[string][]client.CallOption{
			"plain": nil, "idempotent": {client.Idempotent()}, "keeps waiting": {client.KeepWaiting()},
		} {
			before := locks.Load()
			mustCall(r, c, "echo", "x", opts...)
			synctest.Wait() // for the confirm
			if n := locks.Load() - before; n < 1 || n > 3 {
				r.T.Errorf("a call that is %s takes its lock %d times", name, n)
			}
		}
	})
}
