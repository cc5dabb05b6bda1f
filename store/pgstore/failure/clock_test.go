package failure

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store/pgstore"
)

// A server whose clock says that the leases of all others are over takes their calls, and they find out; one whose clock
// is late takes none.
func TestClocksThatStepByAnHourRepeatNothing(t *testing.T) {
	t.Parallel()
	url := database(t)
	pool := connect(t, url)
	var first, second atomic.Int64
	clock := func(offset *atomic.Int64) pgstore.Options {
		return pgstore.Options{Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }}
	}
	l := startLoad(t, open(t, pool, clock(&first)), open(t, connect(t, url), clock(&second)))
	for _, step := range []struct{ first, second time.Duration }{
		{time.Hour, 0}, {0, 0}, {-time.Hour, 0}, {-time.Hour, time.Hour}, {time.Hour, -time.Hour}, {0, 0},
	} {
		first.Store(int64(step.first))
		second.Store(int64(step.second))
		l.goesOn(t)
	}
	l.finish(t, pool)
	if l.stale.Load() == 0 {
		t.Error("no call was taken from its owner")
	}
}
