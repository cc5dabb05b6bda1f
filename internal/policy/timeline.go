package policy

import "time"

// Condition is on what an attempt depends besides the codes and the budget.
type Condition string

const (
	// InVain attempts start even if all before them are waited for in vain: their
	// times are told for that case. What fails sooner brings the next forward.
	InVain Condition = "in_vain"
	// Early attempts start only if one before them fails before its time is up.
	Early Condition = "early"
	// Proven attempts start only if all before them are proven not to have been
	// executed: the method is not idempotent.
	Proven Condition = "proven"
	// Never is of attempts that cannot start before the deadline.
	Never Condition = "never"
)

// Span says when an attempt of a call starts and ends, counted from the call's
// beginning.
type Span struct {
	Attempt int
	When    Condition
	// Earliest and Latest bound the start. Of an attempt that never starts,
	// Earliest is when it would at the soonest.
	Earliest, Latest time.Duration
	// End is when the attempt ends at the latest.
	End time.Duration
}

// Timeline returns when the attempts of a call start that has p.Timeout in all.
// Hedges are not among them: a hedge is the second attempt, and those after it
// come sooner.
func (p *Policy) Timeline() []Span {
	begin := time.Unix(0, 0)
	each := p.AttemptTime(p.Timeout)
	ends := func(start time.Duration, last bool) time.Duration {
		return AttemptDeadline(begin.Add(start), begin.Add(p.Timeout), each, last).Sub(begin)
	}
	limit := p.Timeout - MinAttempt // a retry starts before it
	var soonest time.Duration       // if each attempt fails at once
	spans := make([]Span, 0, max(p.Retry.Attempts, 1))
	for n := 1; n <= max(p.Retry.Attempts, 1); n++ {
		s := Span{Attempt: n, When: InVain}
		if n > 1 {
			before := spans[n-2]
			most := p.Retry.longestWait(n - 2)
			least := most
			if p.Retry.Jitter {
				least = 0
			}
			soonest += least
			s.When, s.Earliest, s.Latest = Early, soonest, limit
			if before.When == InVain && p.Idempotent {
				if after := ends(before.Earliest, false); after+least < limit {
					s.When, s.Earliest, s.Latest = InVain, after+least, min(before.End+most, limit)
				}
			}
			switch {
			case soonest >= limit:
				s.When, s.Earliest, s.Latest = Never, soonest, soonest
			case !p.Idempotent:
				s.When = Proven
			}
		}
		s.End = max(ends(s.Latest, n >= p.Retry.Attempts || !p.Idempotent), s.Latest)
		spans = append(spans, s)
	}
	return spans
}
