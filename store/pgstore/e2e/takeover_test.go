package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
	"github.com/warren-rpc/warren/test/rabbit"
)

// holders notes which replica's handler has a call.
type holders struct {
	mu   sync.Mutex
	last map[string]int
}

func (h *holders) began(replica int) func(callID string) {
	return func(callID string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.last == nil {
			h.last = make(map[string]int)
		}
		h.last[callID] = replica
	}
}

func (h *holders) of(callID string) (replica int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	replica, ok = h.last[callID]
	return replica, ok
}

// The calls that are in the handler of a server that is killed are answered by the
// other one, long before a lease of a minute ends.
func TestCallsOfAKilledServerAreTakenOver(t *testing.T) {
	const kills, together = 5, 10
	o := spec{Broker: rabbit.VHost(t), Database: postgres.Database(t), Schema: "warren", Mode: server.Transactional, Lease: time.Minute}
	database(t, o.Database, o.Schema)
	var at holders
	replicas := []*proc.Process{o.replica(t, at.began(0)), o.replica(t, at.began(1))}
	c := o.caller(t)
	var took []time.Duration
	for kill := range kills {
		var mu sync.Mutex
		answered := make(map[string]time.Time)
		var calls sync.WaitGroup
		ids := make([]string, together)
		for i := range ids {
			ids[i] = fmt.Sprintf("call-%d-%d", kill, i)
			calls.Go(func() {
				_, err := c.Call(t.Context(), effect, []byte(hold), client.WithCallID(ids[i]), client.WithAttempts(1), client.WithTimeout(patience.Soon))
				if err != nil {
					t.Errorf("%s: %v", ids[i], err)
				}
				mu.Lock()
				defer mu.Unlock()
				answered[ids[i]] = time.Now()
			})
		}
		holds := [][]string{nil, nil}
		for _, id := range ids {
			patience.Eventually(t, "each call is in a handler", func() bool { _, ok := at.of(id); return ok })
			replica, _ := at.of(id)
			holds[replica] = append(holds[replica], id)
		}
		for victim, p := range replicas { // the second takes what is left
			killed := time.Now()
			p.Kill()
			mine := holds[victim]
			patience.Eventually(t, "the calls of the server that was killed are answered", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return !slices.ContainsFunc(mine, func(id string) bool { return answered[id].IsZero() })
			})
			mu.Lock()
			for _, id := range mine {
				took = append(took, answered[id].Sub(killed))
			}
			mu.Unlock()
			if err := p.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		calls.Wait()
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("%d calls were taken over from %d servers that were killed: half within %v, 99 %% within %v, all within %v",
		len(took), 2*kills, p50.Round(time.Millisecond), p99.Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	if most := patience.Times(20 * time.Second); p99 > most {
		t.Errorf("99 %% of the calls of servers that were killed were answered within %v; want %v", p99, most)
	}
	if all, calls := effects(t, o.Database); all != kills*together || calls != all {
		t.Errorf("%d effects of %d calls; want %d", all, calls, kills*together)
	}
}

// Who asks for a call that another server has is answered soon after its end.
func TestCallOfTheOtherServerIsAnsweredAtItsEnd(t *testing.T) {
	const rounds = 8
	o := spec{Broker: rabbit.VHost(t), Database: postgres.Database(t), Schema: "warren", Mode: server.AtLeastOnce}
	database(t, o.Database, o.Schema)
	o.replica(t, nil)
	o.replica(t, nil)
	var late []time.Duration
	for round := range rounds {
		// The servers get requests in turn: two of the four come to the one that has not begun the call.
		ends := make(chan time.Time, 4)
		for range cap(ends) {
			c := o.caller(t)
			go func() {
				_, err := c.Call(t.Context(), effect, []byte("700ms"), client.WithCallID(fmt.Sprintf("call-%d", round)),
					client.WithAttempts(1), client.WithTimeout(patience.Soon))
				if err != nil {
					t.Error(err)
				}
				ends <- time.Now()
			}()
		}
		first := <-ends
		for range cap(ends) - 1 {
			late = append(late, (<-ends).Sub(first))
		}
	}
	slices.Sort(late)
	t.Logf("answers to who was attached came %v after the first, half of them, and %v at most",
		late[len(late)/2].Round(time.Millisecond), late[len(late)-1].Round(time.Millisecond))
	if most := patience.Times(time.Second); late[len(late)/2] > most {
		t.Errorf("half of them came %v after the first, or later", late[len(late)/2])
	}
	if all, calls := effects(t, o.Database); all != rounds || calls != rounds {
		t.Errorf("%d effects of %d calls; want %d", all, calls, rounds)
	}
}
