package client_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
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

// An outage of the broker is longer than what calls wait for: those that wait
// when it ends are as many as one timeout's worth, and no more come of them.
func TestOutageOfTheBrokerEndsWithoutAStorm(t *testing.T) {
	const perSecond, outage = 100, 10 * time.Second
	for _, timeout := range []time.Duration{500 * time.Millisecond, 900 * time.Millisecond, 10 * time.Second} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("m"), rig.Echo)
				l := &changes{}
				c := r.Ready(policy(reliability.Spec{Timeout: &timeout}), func(cfg *client.Config) { cfg.OnBreaker = l.note })
				var mu sync.Mutex
				var resumed, recovered time.Time
				stop := make(chan struct{})
				wait := steady(r, c, time.Second/perSecond, stop, func(err error) {
					mu.Lock()
					defer mu.Unlock()
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
				close(stop)
				wait()
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
				t.Logf("the first request was %v after the return; %d in the second from there, %d attempts repeated; answered after %v",
					first.Sub(resumed), inFirst, c.Stats().Republished, recovered.Sub(resumed))
				// What was made during the outage and still has time goes out at once,
				// each call once: what comes beyond the normal rate is no retry.
				waiting := int(min(timeout, outage).Seconds() * perSecond)
				if inFirst > perSecond+waiting+20 || c.Stats().Republished > 2 {
					t.Errorf("%d requests in the first second, %d repeated; the normal rate is %d", inFirst, c.Stats().Republished, perSecond)
				}
				l.want(t)
				if recovered.IsZero() || recovered.Sub(resumed) > 5*time.Second {
					t.Errorf("answered again %v after the return", recovered.Sub(resumed))
				}
			})
		})
	}
}
