package policy_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// The timeline is what the attempts of calls do: those that are waited for in
// vain, and those that fail at any time.
func TestTimelineIsKept(t *testing.T) {
	t.Parallel()
	milliseconds := func(least, most int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.IntRange(least, most), func(n int) time.Duration { return time.Duration(n) * time.Millisecond })
	}
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Default()
		p.Timeout = milliseconds(1, 5000).Draw(t, "timeout")
		p.AttemptTimeout = min(milliseconds(0, 3000).Draw(t, "attempt timeout"), p.Timeout)
		p.Idempotent = rapid.Bool().Draw(t, "idempotent")
		p.Retry.Attempts = rapid.IntRange(1, 5).Draw(t, "attempts")
		p.Retry.First = milliseconds(1, 1000).Draw(t, "first")
		p.Retry.Most = max(milliseconds(1, 1000).Draw(t, "most"), p.Retry.First)
		p.Retry.Jitter = rapid.Bool().Draw(t, "jitter")
		vain := rapid.Bool().Draw(t, "in vain")

		spans := p.Timeline()
		begin := time.Unix(1000, 0)
		now := begin
		attempts := p.Begin(now, time.Time{}, nil, policy.Overrides{})
		made := 0
		for {
			number, deadline := attempts.Next(now)
			made++
			s, start, end := spans[number-1], now.Sub(begin), deadline.Sub(begin)
			if s.When == policy.Never || end > s.End {
				t.Fatalf("attempt %d from %v to %v: %+v", number, start, end, spans)
			}
			if s.When == policy.Early && vain && p.Idempotent {
				t.Fatalf("attempt %d starts in vain: %+v", number, spans)
			}
			if start > s.Latest || start < s.Earliest && (vain || s.When != policy.InVain) {
				t.Fatalf("attempt %d starts at %v: %+v", number, start, spans)
			}
			now = deadline
			if !vain {
				now = begin.Add(start + time.Duration(rapid.Float64Range(0, 1).Draw(t, "part")*float64(end-start)))
			}
			d := attempts.Failed(now, &warren.Error{Code: warren.CodeDeadlineExceeded, Outcome: warren.NotExecuted})
			if !d.Retry {
				break
			}
			now = now.Add(d.Wait)
		}
		if vain && p.Idempotent && made < len(spans) && spans[made].When == policy.InVain && spans[made].Latest < p.Timeout-policy.MinAttempt {
			t.Fatalf("%d attempts: %+v", made, spans)
		}
	})
}

func TestTimelineOfTheDefaults(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Idempotent = true
	const third = 10 * time.Second / 3
	want := []policy.Span{
		{Attempt: 1, When: policy.InVain, End: third},
		{Attempt: 2, When: policy.InVain, Earliest: third, Latest: third + 100*time.Millisecond, End: 2*third + 100*time.Millisecond},
		{Attempt: 3, When: policy.InVain, Earliest: 2 * third, Latest: 2*third + 300*time.Millisecond, End: 10 * time.Second},
	}
	for i, s := range p.Timeline() {
		if s != want[i] {
			t.Errorf("%+v, want %+v", s, want[i])
		}
	}
	p.Idempotent = false
	for _, s := range p.Timeline()[1:] {
		if s.When != policy.Proven || s.Earliest != 0 || s.End != p.Timeout {
			t.Errorf("%+v", s)
		}
	}
}
