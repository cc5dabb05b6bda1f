package simulate

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// slot is the time by which calls and attempts are counted for figures that a
// whole second is too coarse for.
const slot = 100 * time.Millisecond

const slotsPerSecond = int(time.Second / slot)

// record is what is noted while a simulation runs.
type record struct {
	seconds []Second
	slots   []slotCounts
	pending int

	calls, attempts, hedges, retries       int
	executions, dropped, lates             int
	errors                                 map[string]int
	successes                              []time.Duration // their latencies
	changes                                []Change
	outage                                 Outage
	endedBeforeOutage, successBeforeOutage int
}

// slotCounts counts by when calls begin, and when attempts are made.
type slotCounts struct{ calls, successes, attempts, retries int }

func newRecord(s *Scenario) record {
	return record{
		errors: map[string]int{}, outage: s.Outage,
		seconds: make([]Second, 0, int(s.Duration/time.Second)+16),
		slots:   make([]slotCounts, 0, int(s.Duration/slot)+16*slotsPerSecond),
	}
}

// second returns the counts of the second that an instant lies in.
func (r *record) second(at time.Duration) *Second {
	n := int(at / time.Second)
	for len(r.seconds) <= n {
		r.seconds = append(r.seconds, Second{Second: len(r.seconds)})
	}
	return &r.seconds[n]
}

func (r *record) slot(at time.Duration) *slotCounts {
	n := int(at / slot)
	for len(r.slots) <= n {
		r.slots = append(r.slots, slotCounts{})
	}
	return &r.slots[n]
}

// begun counts a call.
func (r *record) begun(at time.Duration) {
	r.calls++
	r.pending++
	r.second(at).Calls++
	r.slot(at).calls++
}

// attempt counts a request that is handed to the broker.
func (r *record) attempt(at time.Duration, again, beside bool) {
	r.attempts++
	second, slot := r.second(at), r.slot(at)
	second.Attempts++
	slot.attempts++
	if beside {
		r.hedges++
	}
	if again {
		r.retries++
		second.Retries++
		slot.retries++
	}
}

// late counts an answer that no call waits for.
func (r *record) late(at time.Duration) {
	r.lates++
	r.second(at).Late++
}

// ended counts the end of a call; err is nil of a success.
func (r *record) ended(cl *call, err *warren.Error) {
	r.pending--
	at := cl.elapsed()
	second := r.second(at)
	before := at < r.outage.Start
	if before {
		r.endedBeforeOutage++
	}
	if err != nil {
		name := err.Code.String()
		if err.Reason != "" {
			name += "/" + err.Reason
		}
		r.errors[name]++
		if second.Errors == nil {
			second.Errors = map[string]int{}
		}
		second.Errors[name]++
		return
	}
	second.Successes++
	r.slot(cl.begun.Sub(epoch)).successes++
	r.successes = append(r.successes, cl.now.Sub(cl.begun))
	if before {
		r.successBeforeOutage++
	}
}

// change notes a transition of a client's breaker.
func (r *record) change(client int, c policy.Change) {
	r.changes = append(r.changes, Change{
		AtMS: milliseconds(c.At.Sub(epoch)), Client: client, From: c.From.String(), To: c.To.String(),
	})
	if c.To == policy.Open {
		r.second(c.At.Sub(epoch)).BreakersOpened++
	}
}
