package client_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/rig"
)

// steady makes a call each pause until stop is closed, and returns what waits for
// the calls. ended is told how each ended.
func steady(r *rig.Rig, c *client.Client, pause time.Duration, stop <-chan struct{}, ended func(err error)) (wait func()) {
	var calls sync.WaitGroup
	calls.Go(func() {
		for tick := time.NewTicker(pause); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
			calls.Go(func() {
				_, err := c.Call(r.T.Context(), "m", nil, client.Idempotent(), client.WaitForServer())
				ended(err)
			})
		}
	})
	return calls.Wait
}

// Those who call while the broker is away wait for it, up to a thousand here. They
// must not all meet it in the moment of its return.
func TestOutageOfTheBrokerEndsWithoutAStorm(t *testing.T) {
	const perSecond, outage = 100, 10 * time.Second
	for _, timeout := range []time.Duration{500 * time.Millisecond, 900 * time.Millisecond, 10 * time.Second} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("m"), rig.Echo)
				l := &changes{}
				c := r.Ready(withPolicy(reliability.Policy{Timeout: &timeout}), func(cfg *client.Config) { cfg.OnBreaker = l.note })
				var mu sync.Mutex
				var resumed, recovered time.Time
				failed, why := 0, error(nil)
				stop := make(chan struct{})
				wait := steady(r, c, time.Second/perSecond, stop, func(err error) {
					mu.Lock()
					defer mu.Unlock()
					if err != nil && !resumed.IsZero() && time.Since(resumed) > timeout+policy.Settling {
						failed, why = failed+1, err
					}
					if err == nil && recovered.IsZero() && !resumed.IsZero() {
						recovered = time.Now()
					}
				})
				time.Sleep(5 * time.Second)
				r.Broker.Stop()
				time.Sleep(outage)
				r.Broker.Forget()
				mu.Lock()
				resumed = time.Now()
				mu.Unlock()
				r.Broker.Resume()
				time.Sleep(5 * time.Second)
				var first time.Time
				inFirst := 0
				for _, ev := range requests(r.Broker, "m") {
					if first.IsZero() {
						first = ev.At
					}
					if ev.At.Sub(first) < time.Second {
						inFirst++
					}
				}
				time.Sleep(10 * time.Second)
				close(stop)
				wait()
				t.Logf("the first request was %v after the return; %d in the second from there, %d attempts repeated; answered after %v",
					first.Sub(resumed), inFirst, c.Stats().Republished, recovered.Sub(resumed))
				if inFirst > 2*perSecond || c.Stats().Republished > 2 {
					t.Errorf("%d requests in the first second, %d repeated; the normal rate is %d", inFirst, c.Stats().Republished, perSecond)
				}
				if failed > 0 {
					t.Errorf("%d calls failed that were made well after the return, the last with %v", failed, why)
				}
				l.want(t)
				if recovered.IsZero() || recovered.Sub(resumed) > 5*time.Second {
					t.Errorf("answered again %v after the return", recovered.Sub(resumed))
				}
			})
		})
	}
}

// A call that has waited for a connection was not slow: the time of the method
// begins with the request.
func TestWaitingForTheConnectionIsNotSlowness(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), rig.Echo)
		l := &changes{}
		c := r.Ready(withPolicy(reliability.Policy{
			Breaker: reliability.BreakerPolicy{Volume: new(4), SlowAfter: new(500 * time.Millisecond)},
		}), func(cfg *client.Config) { cfg.OnBreaker = l.note })
		r.Broker.Stop()
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				if _, err := c.Call(r.T.Context(), "m", nil, client.WaitForServer()); err != nil {
					r.T.Error(err)
				}
			})
		}
		time.Sleep(4 * time.Second)
		r.Broker.Resume()
		calls.Wait()
		if got := breakerOf(c, "m").Counts(time.Now()); got.Calls != 20 || got.Slow != 0 {
			r.T.Errorf("the breaker has counted %+v", got)
		}
		l.want(t)
	})
}
