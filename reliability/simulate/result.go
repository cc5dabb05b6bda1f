package simulate

import (
	"math"
	"slices"
	"time"
)

// Result is what came of a simulation. Its fields are what
// `warren policy simulate --json` prints.
type Result struct {
	Method string `json:"method"`

	Calls     int `json:"calls"`
	Successes int `json:"successes"`
	// Errors counts the other calls, by "code/reason", or "code" without a reason.
	Errors map[string]int `json:"errors"`
	// SuccessRate is the part of the calls that succeeded, 0 to 1.
	SuccessRate float64 `json:"success_rate"`

	// Attempts are the requests that reached the broker. Retries are those of them
	// that were not the first of their call, Hedges included.
	Attempts int `json:"attempts"`
	Retries  int `json:"retries"`
	Hedges   int `json:"hedges"`
	// Amplification is Attempts for each call. Calls that are refused before an
	// attempt is made lower it.
	Amplification float64 `json:"amplification"`

	// Executions are the handlers that were begun, Late the answers that nobody
	// waited for any more, and Dropped the requests that outlived their deadline in
	// the queue.
	Executions int `json:"executions"`
	Late       int `json:"late"`
	Dropped    int `json:"dropped"`

	// Latency is that of the calls that succeeded.
	Latency Percentiles `json:"latency"`

	// Opened counts how often a breaker opened, and OpenedBy how many clients had one
	// that did.
	Opened   int `json:"breakers_opened"`
	OpenedBy int `json:"breakers_opened_by"`
	// Changes are the transitions of all breakers, in the order of time.
	Changes []Change `json:"changes"`

	// Recovery is nil without an outage, or if calls end before it does.
	Recovery *Recovery `json:"recovery,omitempty"`

	Seconds []Second `json:"seconds"`
}

// Percentiles are in milliseconds; all are 0 if there is nothing to tell of.
type Percentiles struct {
	P50MS float64 `json:"p50_ms"`
	P95MS float64 `json:"p95_ms"`
	P99MS float64 `json:"p99_ms"`
	MaxMS float64 `json:"max_ms"`
}

// Change is one transition of one client's breaker.
type Change struct {
	AtMS   float64 `json:"at_ms"`
	Client int     `json:"client"` // from 0
	From   string  `json:"from"`
	To     string  `json:"to"`
}

// Recovery is what follows an outage.
type Recovery struct {
	// NormalRate is how many attempts there were in a second before the outage or, if
	// it began in the first second, as many as there are calls.
	NormalRate float64 `json:"normal_rate"`
	// FirstSecond are the attempts in the first second after the outage,
	// FirstSecondRetries those of them that were not the first of their call, and
	// FirstSecondRatio is FirstSecond over NormalRate: above 2 is a storm, of retries
	// or of calls that had waited.
	FirstSecond        int     `json:"first_second"`
	FirstSecondRetries int     `json:"first_second_retries"`
	FirstSecondRatio   float64 `json:"first_second_ratio"`
	// PeakRatio is the same of the worst second within a minute after the outage.
	PeakRatio float64 `json:"peak_ratio"`
	// AfterS is how many seconds after the outage the first second begins of whose
	// calls as many succeed as did before the outage, less 5 %. It is -1 if none
	// does.
	AfterS float64 `json:"after_s"`
}

// Second is one second of the simulation.
type Second struct {
	Second int `json:"second"` // from 0
	// Calls that began, Attempts that were made, Retries among them, Successes and
	// Errors of calls that ended, and Late answers.
	Calls     int            `json:"calls"`
	Attempts  int            `json:"attempts"`
	Retries   int            `json:"retries"`
	Successes int            `json:"successes"`
	Errors    map[string]int `json:"errors,omitempty"`
	Late      int            `json:"late"`
	// BreakersOpened is how often one opened; the others are states at the end of
	// the second.
	BreakersOpened   int `json:"breakers_opened"`
	BreakersOpen     int `json:"breakers_open"`
	BreakersHalfOpen int `json:"breakers_half_open"`
	Queued           int `json:"queued"`
	Handling         int `json:"handling"`
}

// Failed is how many calls ended with an error.
func (s *Second) Failed() int {
	n := 0
	for _, count := range s.Errors {
		n += count
	}
	return n
}

func (w *world) result() *Result {
	r := &w.record
	result := &Result{
		Method: w.method, Calls: r.calls, Successes: len(r.successes), Errors: r.errors,
		SuccessRate: ratio(len(r.successes), r.calls), Attempts: r.attempts, Retries: r.retries, Hedges: r.hedges,
		Amplification: ratio(r.attempts, r.calls), Executions: r.executions, Late: r.lates, Dropped: r.dropped,
		Latency: percentiles(r.successes), Changes: r.changes, Recovery: w.recovery(), Seconds: r.seconds,
	}
	if result.Changes == nil {
		result.Changes = []Change{}
	}
	by := map[int]bool{}
	for _, c := range r.changes {
		if c.To == "open" {
			result.Opened++
			by[c.Client] = true
		}
	}
	result.OpenedBy = len(by)
	return result
}

// nearlyAll is the part of the former success rate that counts as recovered.
const nearlyAll = 0.95

// recovery is nil if there is nothing to recover from, or no call to tell by.
func (w *world) recovery() *Recovery {
	o, r := w.Outage, &w.record
	if o.Length == 0 || o.End() >= w.Duration {
		return nil
	}
	rec := &Recovery{NormalRate: w.Rate, AfterS: -1}
	if before := int(o.Start / slot); before >= slotsPerSecond {
		rec.NormalRate = float64(r.sum(0, before).attempts) / (time.Duration(before) * slot).Seconds()
	}
	if rec.NormalRate == 0 {
		rec.NormalRate = w.Rate
	}
	usual := 1.0
	if r.endedBeforeOutage > 0 {
		usual = ratio(r.successBeforeOutage, r.endedBeforeOutage)
	}
	first := int((o.End() + slot - 1) / slot)
	for from := first; from < len(r.slots) && from < first+60*slotsPerSecond; from++ {
		counts := r.sum(from, from+slotsPerSecond)
		peak := float64(counts.attempts) / rec.NormalRate
		if from == first {
			rec.FirstSecond, rec.FirstSecondRetries, rec.FirstSecondRatio = counts.attempts, counts.retries, peak
		}
		rec.PeakRatio = max(rec.PeakRatio, peak)
	}
	for from := first; from+slotsPerSecond <= int(w.Duration/slot); from++ {
		if c := r.sum(from, from+slotsPerSecond); c.calls > 0 && ratio(c.successes, c.calls) >= nearlyAll*usual {
			rec.AfterS = (time.Duration(from-first) * slot).Seconds()
			break
		}
	}
	return rec
}

// sum adds up slots.
func (r *record) sum(from, to int) slotCounts {
	var sum slotCounts
	for _, s := range r.slots[min(from, len(r.slots)):min(to, len(r.slots))] {
		sum.calls += s.calls
		sum.successes += s.successes
		sum.attempts += s.attempts
		sum.retries += s.retries
	}
	return sum
}

// percentiles sorts the durations.
func percentiles(d []time.Duration) Percentiles {
	if len(d) == 0 {
		return Percentiles{}
	}
	slices.Sort(d)
	at := func(percent int) float64 { return milliseconds(d[(len(d)*percent+99)/100-1]) }
	return Percentiles{P50MS: at(50), P95MS: at(95), P99MS: at(99), MaxMS: at(100)}
}

func ratio(part, all int) float64 {
	if all == 0 {
		return 0
	}
	return float64(part) / float64(all)
}

// milliseconds rounds to a thousandth.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
