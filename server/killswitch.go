package server

import (
	"cmp"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/policy"
)

// KillSwitch stops consuming a method on this server while its handlers mostly
// fail here, so that requests go to servers where they do not. It is off by
// default: Failures turns it on, and 0.5 is a fair value.
//
// What counts as a failure is what points at the server and not at the request: a
// panic, and an error that reaches the caller as internal, unknown or
// unavailable. Successes are counted against them. All other codes say that the
// handler works and are not counted, except as probes, which they pass. Requests
// that end as canceled or deadline_exceeded, that the typed handler's codec or
// Validate refuses, or that Stop interrupts say nothing.
//
// Once tripped, the server cancels its consumer, gives back what it has fetched
// and not begun, and answers what its handlers are at. After a time that is drawn
// from the upper half of Open it consumes again with a prefetch of 1, until as
// many requests as Probes have succeeded; then it goes on in full. The first that
// fails stops it again, for twice the time, up to MostOpen. Each change is logged,
// and counted in [Stats].
//
// Requests wait in the queue meanwhile, and expire there by their deadlines. A
// server that is alone with its queue leaves it to grow: calls under
// client.FailFast end as unavailable/no_server, those that wait for a server and
// notifications pile up. Each given-back request is one more delivery to a quorum
// queue's delivery limit, and its handler sees it as Redelivered.
type KillSwitch struct {
	// Failures is the part of the counted requests in the window that must fail.
	// Default: 0, which is off; above 0 to 1.
	Failures float64
	// Window is how far back requests count. Default: 10 s; 1 s to 10 min.
	Window time.Duration
	// Volume is how many the window must hold before they are judged. Default: 20; 1
	// to 1,000,000.
	Volume int
	// Open and MostOpen bound how long nothing is consumed: after the first trip,
	// and after any. A queue that expires must outlive twice MostOpen. Default: 5 s
	// and 1 min; 100 ms to 1 h, Open at most MostOpen.
	Open, MostOpen time.Duration
	// Probes is how many requests must succeed, one at a time. Default: 3; 1 to
	// 1000.
	Probes int
}

func (k KillSwitch) withDefaults() KillSwitch {
	def := policy.Default().Breaker
	k.Window = cmp.Or(k.Window, def.Window)
	k.Volume = cmp.Or(k.Volume, def.Volume)
	k.Open = cmp.Or(k.Open, def.Open)
	k.MostOpen = cmp.Or(k.MostOpen, max(time.Minute, k.Open))
	k.Probes = cmp.Or(k.Probes, def.Probes)
	return k
}

func (k *KillSwitch) validate(field func(string) string, expires time.Duration) error {
	if k.Failures == 0 {
		return nil
	}
	// NaN is neither.
	if !(k.Failures > 0 && k.Failures <= 1) {
		return fmt.Errorf("warren: %s is %v; it must be above 0, up to 1", field("KillSwitch.Failures"), k.Failures)
	}
	if expires > 0 && expires < 2*k.MostOpen {
		return fmt.Errorf("warren: %s is %v; the queue, which expires after %v, must outlive twice that",
			field("KillSwitch.MostOpen"), k.MostOpen, expires)
	}
	return cmp.Or(
		within(field("KillSwitch.Window"), k.Window, time.Second, 10*time.Minute),
		within(field("KillSwitch.Volume"), k.Volume, 1, 1_000_000),
		within(field("KillSwitch.MostOpen"), k.MostOpen, 100*time.Millisecond, time.Hour),
		within(field("KillSwitch.Open"), k.Open, 100*time.Millisecond, k.MostOpen),
		within(field("KillSwitch.Probes"), k.Probes, 1, 1000),
	)
}

// killSwitch is a circuit breaker that holds up the consumer and not the
// requests.
type killSwitch struct {
	*policy.Breaker

	cfg      KillSwitch
	consumer *broker.Consumer
	log      *slog.Logger

	mu      sync.Mutex
	stopped bool
	timer   *time.Timer // of the next probe, or nil
	inRow   int         // trips since it was last closed
	trips   uint64
}

func newKillSwitch(m *method) *killSwitch {
	k := &killSwitch{cfg: m.KillSwitch, consumer: m.consumer, log: m.log}
	k.Breaker = policy.NewBreaker(m.Name, k.policy(m.KillSwitch.Open), k.changed)
	return k
}

func (k *killSwitch) policy(open time.Duration) policy.BreakerPolicy {
	return policy.BreakerPolicy{
		Window: k.cfg.Window, Volume: k.cfg.Volume, Failures: k.cfg.Failures, Slow: 1, Open: open, Probes: k.cfg.Probes,
	}
}

// changed follows the breaker, which calls it for one change after the other.
func (k *killSwitch) changed(c policy.Change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch c.To {
	case policy.Open:
		open := k.pause()
		k.Update(c.At, k.policy(open))
		k.consumer.Pause()
		if !k.stopped {
			k.timer = time.AfterFunc(open, k.probe)
		}
		k.log.Error("the kill switch has tripped: the method is not consumed",
			"handled", c.Calls, "failed", c.Failures, "for", open)
	case policy.Closed:
		k.inRow = 0
		k.consumer.Resume(0)
		k.log.Info("the probes have succeeded: the method is consumed again")
	case policy.HalfOpen, policy.ForcedOpen, policy.ForcedClosed:
	}
}

// pause draws how long nothing is consumed after one more trip. mu is held.
func (k *killSwitch) pause() time.Duration {
	most := min(k.cfg.Open<<min(k.inRow, 16), k.cfg.MostOpen)
	k.inRow++
	k.trips++
	return most/2 + time.Duration(rand.Int64N(int64(most/2)+1))
}

// probe lets requests in one by one.
func (k *killSwitch) probe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer = nil; k.stopped {
		return
	}
	k.consumer.Resume(1)
	k.log.Info("the method is probed")
}

// stop ends the probing. It may be called on nil.
func (k *killSwitch) stop() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

// counts tells how often the switch has tripped, and whether it has and is not yet over
// it. It may be called on nil.
func (k *killSwitch) counts() (trips uint64, tripped bool) {
	if k == nil {
		return 0, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trips, k.inRow > 0
}

// judge says what a handler's end tells of the server. told is what reaches the
// caller, nil if that is a reply.
func judge(told *warren.Error) policy.Result {
	if told == nil {
		return policy.Success
	}
	switch told.Code {
	case warren.CodeInternal, warren.CodeUnknown, warren.CodeUnavailable:
		return policy.Failure
	case warren.CodeCanceled, warren.CodeDeadlineExceeded:
		return policy.Ignored
	default:
		return policy.Answered
	}
}
