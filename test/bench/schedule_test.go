package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/rabbit"
)

// callerFunc is an echo that does something first.
type callerFunc func(call int64) error

func (f callerFunc) connect() *fakeCaller { return &fakeCaller{before: f} }

type fakeCaller struct {
	before callerFunc
	calls  atomic.Int64
}

func (c *fakeCaller) call(_ context.Context, body []byte) ([]byte, error) {
	if err := c.before(c.calls.Add(1)); err != nil {
		return nil, err
	}
	return bytes.Clone(body), nil
}

func (c *fakeCaller) close() error { return nil }

func TestCallsThatAStallHoldsUpCountFromWhenTheyWereDue(t *testing.T) {
	t.Parallel()
	c := callerFunc(func(call int64) error {
		if call == 1 {
			time.Sleep(200 * time.Millisecond)
		}
		return nil
	}).connect()
	s := spec{workload: workload{Size: 16, Inflight: 1, Rate: 1000}}
	got, err := openLoop(t.Context(), c, s, 400*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	// A loop that waits for each reply would have seen a single slow call of 400.
	if got.Calls != 400 || got.Unsent != 0 || got.P90 < 100*time.Millisecond || got.Max < 199*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if got.Elapsed < 400*time.Millisecond {
		t.Errorf("a schedule of 400 ms took %v", got.Elapsed)
	}
}

func TestCallsThatNeverBeginCountWithTheirWait(t *testing.T) {
	t.Parallel()
	c := callerFunc(func(int64) error {
		time.Sleep(50 * time.Millisecond)
		return nil
	}).connect()
	s := spec{workload: workload{Inflight: 2, Rate: 1000}}
	got, err := openLoop(t.Context(), c, s, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if got.Unsent < 1 || got.Calls+got.Unsent != 100 || got.Max < late || got.reached(1000) {
		t.Errorf("%+v", got)
	}
}

func TestAScheduleEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	c := callerFunc(func(call int64) error {
		if call == 3 {
			return broken
		}
		return nil
	}).connect()
	s := spec{workload: workload{Inflight: 1, Rate: 1000}}
	if _, err := openLoop(t.Context(), c, s, time.Hour); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestARateIsReachedWithinOnePercent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tally
		want bool
	}{
		{tally{Calls: 2000, Elapsed: 2 * time.Second}, true},
		{tally{Calls: 2000, Elapsed: 2015 * time.Millisecond}, true},
		{tally{Calls: 2000, Elapsed: 2100 * time.Millisecond}, false},
		{tally{Calls: 1999, Unsent: 1, Elapsed: 2 * time.Second}, false},
	} {
		if got := c.reached(1000); got != c.want {
			t.Errorf("%+v: %v", c.tally, got)
		}
	}
}

func TestAtARateTheReportHasLatenciesAndSaysWhatMissedIt(t *testing.T) {
	t.Parallel()
	options := Options{
		URL:      rabbit.VHost(t),
		Variants: []string{"warren-classic", "raw-best"},
		Inflight: []int{2},
		Rates:    []int{20, 1_000_000}, // one that anything reaches, and one that nothing does
		Rounds:   1,
		Duration: 200 * time.Millisecond,
		WarmUp:   -1,
	}
	var table, lines, svg bytes.Buffer
	options.Out, options.Plot = &table, &svg
	if err := Run(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"echo of 64 bytes, 20 calls/s due, at most 2 in flight", "p90 µs", "p99.9 µs", "max µs",
		"the rate was not reached by warren-classic, raw-best\n",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &table)
		}
	}
	wantPlot(t, svg.String(), options.Variants, 1, 2)

	options.Rates, options.JSON, options.Out = []int{1_000_000}, true, &lines
	options.Variants = []string{"raw-best"}
	if err := Run(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	var got summary
	if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Rate != 1_000_000 || got.Inflight != 2 || got.Reached == nil || *got.Reached || got.MaxUs < float64(late.Microseconds()) {
		t.Errorf("%s", &lines)
	}
}
