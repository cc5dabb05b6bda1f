package reliability_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/reliability"
)

func TestOnwardDeadlineShrinks(t *testing.T) {
	t.Parallel()
	epoch := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ left, want time.Duration }{
		{10 * time.Second, 9900 * time.Millisecond},
		{time.Second, 980 * time.Millisecond},
		{10 * time.Millisecond, 9 * time.Millisecond},
		{time.Millisecond, 0},
		{time.Microsecond, 0},
		{0, 0},
		{-time.Second, -time.Second},
	} {
		if got := reliability.OnwardDeadline(epoch, epoch.Add(c.left)).Sub(epoch); got != c.want {
			t.Errorf("of %v left, %v are passed on; want %v", c.left, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		short := drawDuration(t, "short", 1, time.Hour)
		long := short + drawDuration(t, "more", 0, time.Hour)
		a := reliability.OnwardDeadline(epoch, epoch.Add(short))
		b := reliability.OnwardDeadline(epoch, epoch.Add(long))
		if a.After(b) || a.Before(epoch) || !a.Before(epoch.Add(short)) {
			t.Fatalf("%v of %v, %v of %v", a.Sub(epoch), short, b.Sub(epoch), long)
		}
	})
}
