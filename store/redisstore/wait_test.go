package redisstore

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

// Close ends a wait whose record is being looked at, and nobody takes what it was told: its
// context has ended, too.
func TestWaitIsEndedOnce(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	s := open(t, server.URL(), Options{Prefix: prefix})
	w := newWatch(s)
	waiting := &waiter{key: numbered(1), token: 1, done: make(chan error, 1)}
	w.waiters[waiting] = struct{}{}
	w.stop()
	var looked atomic.Bool
	go func() {
		w.look([]*waiter{waiting})
		looked.Store(true)
	}()
	patience.Eventually(t, "the look that was under way ends", looked.Load)
	if err := <-waiting.done; !errors.Is(err, store.ErrClosed) {
		t.Errorf("the wait has ended with %v; want ErrClosed", err)
	}
}
