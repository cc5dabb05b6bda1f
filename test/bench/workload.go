package bench

import (
	"fmt"
	"time"
)

// workload is what the calls of a measurement are like.
type workload struct {
	Size     int `json:"size"`     // of bodies, in bytes
	Inflight int `json:"inflight"` // how many calls are open at a time; with a rate, at most

	// Rate is how many calls per second are due. 0: each call follows another.
	Rate int `json:"rate,omitempty"`
}

func (w workload) String() string {
	if w.Rate > 0 {
		return fmt.Sprintf("%d bytes, %d calls/s due, at most %d in flight", w.Size, w.Rate, w.Inflight)
	}
	return fmt.Sprintf("%d bytes, %d in flight", w.Size, w.Inflight)
}

// file is the workload's part of a file's name.
func (w workload) file() string {
	if w.Rate > 0 {
		return fmt.Sprintf("%d-%d-at-%d", w.Size, w.Inflight, w.Rate)
	}
	return fmt.Sprintf("%d-%d", w.Size, w.Inflight)
}

// tally is what a client saw of its calls.
type tally struct {
	Calls   int64         `json:"calls"`
	Unsent  int64         `json:"unsent,omitempty"` // calls that were due and have not begun
	Elapsed time.Duration `json:"elapsed"`          // until the last call was answered
	P50     time.Duration `json:"p50"`
	P90     time.Duration `json:"p90"`
	P99     time.Duration `json:"p99"`
	P999    time.Duration `json:"p999"`
	Max     time.Duration `json:"max"`
}

func newTally(calls int64, elapsed time.Duration, times *histogram) tally {
	return tally{
		Calls:   calls,
		Elapsed: elapsed,
		P50:     times.quantile(0.50),
		P90:     times.quantile(0.90),
		P99:     times.quantile(0.99),
		P999:    times.quantile(0.999),
		Max:     times.quantile(1),
	}
}

func (t tally) callsPerSecond() float64 { return float64(t.Calls) / t.Elapsed.Seconds() }

// lostAfter is how long after the end of a measurement its last calls may take. A
// call that takes longer counts as lost, which none may be.
const lostAfter = 20 * time.Second
