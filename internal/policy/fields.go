package policy

import (
	"time"

	"github.com/warren-rpc/warren"
)

// bounded is the bounds of a field: they are those that [Policy] documents.
type bounded struct{ min, max float64 }

const (
	day         = float64(24 * time.Hour)
	millisecond = float64(time.Millisecond)
)

// fields is the table of all values of a policy. Merging, checking, explaining,
// reading files and the JSON Schema go by it, so that a value is added here
// and in the three types alone.
var fields = []Field{
	duration("timeout", bounded{millisecond, day}, "",
		"The deadline of calls whose context has none.",
		func(s *Spec) **time.Duration { return &s.Timeout }, func(p *Policy) *time.Duration { return &p.Timeout }),
	duration("attempt_timeout", bounded{millisecond, day}, "a third of the call's time, at least 1s",
		"How long an attempt is waited for before the next is made; the last gets all the time that remains.",
		func(s *Spec) **time.Duration { return &s.AttemptTimeout }, func(p *Policy) *time.Duration { return &p.AttemptTimeout }),
	boolean("idempotent",
		"Whether the handler may run more than once for one call without harm.",
		func(s *Spec) **bool { return &s.Idempotent }, func(p *Policy) *bool { return &p.Idempotent }),

	whole("retry.attempts", bounded{1, 5}, "",
		"How many attempts there are in all, the first included, but for those that the broker refuses; 1 is no retry.",
		func(s *Spec) **int { return &s.Retry.Attempts }, func(p *Policy) *int { return &p.Retry.Attempts }),
	duration("retry.first", bounded{millisecond, float64(time.Minute)}, "",
		"The longest wait before the first retry; it doubles with each.",
		func(s *Spec) **time.Duration { return &s.Retry.First }, func(p *Policy) *time.Duration { return &p.Retry.First }),
	duration("retry.most", bounded{millisecond, float64(time.Minute)}, "",
		"The longest wait before any retry.",
		func(s *Spec) **time.Duration { return &s.Retry.Most }, func(p *Policy) *time.Duration { return &p.Retry.Most }),
	boolean("retry.jitter",
		"Whether each wait is drawn evenly from zero to its bound, so that those who failed together do not come again together.",
		func(s *Spec) **bool { return &s.Retry.Jitter }, func(p *Policy) *bool { return &p.Retry.Jitter }),
	codes("retry.codes",
		"The codes of errors after which a call is repeated.",
		func(s *Spec) *[]warren.Code { return &s.Retry.Codes }, func(p *Policy) *[]warren.Code { return &p.Retry.Codes }),
	boolean("retry.fail_nacked",
		"Whether a call that the broker refuses and that is not repeated ends at once, and not at its deadline.",
		func(s *Spec) **bool { return &s.Retry.FailNacked }, func(p *Policy) *bool { return &p.Retry.FailNacked }),

	offSwitch("budget",
		"Whether a budget bounds what retries and hedges add to the load.",
		func(s *Spec) **bool { return &s.Budget.Off }, func(p *Policy) *bool { return &p.Budget.Off }),
	number("budget.tokens", bounded{1, 1000},
		"How many tokens there are at most; a failure takes one, and nothing is repeated while half or fewer are left.",
		func(s *Spec) **float64 { return &s.Budget.Tokens }, func(p *Policy) *float64 { return &p.Budget.Tokens }),
	number("budget.ratio", bounded{0, 1},
		"What a success gives back, as a part of a token.",
		func(s *Spec) **float64 { return &s.Budget.Ratio }, func(p *Policy) *float64 { return &p.Budget.Ratio }),

	offSwitch("breaker",
		"Whether calls are refused without trying while too many fail.",
		func(s *Spec) **bool { return &s.Breaker.Off }, func(p *Policy) *bool { return &p.Breaker.Off }),
	duration("breaker.window", bounded{float64(time.Second), float64(10 * time.Minute)}, "",
		"How far back calls count.",
		func(s *Spec) **time.Duration { return &s.Breaker.Window }, func(p *Policy) *time.Duration { return &p.Breaker.Window }),
	whole("breaker.volume", bounded{1, 1_000_000}, "",
		"How many calls the window must hold before they are judged.",
		func(s *Spec) **int { return &s.Breaker.Volume }, func(p *Policy) *int { return &p.Breaker.Volume }),
	number("breaker.failures", bounded{0, 1},
		"The part of the calls that must fail.",
		func(s *Spec) **float64 { return &s.Breaker.Failures }, func(p *Policy) *float64 { return &p.Breaker.Failures }),
	duration("breaker.slow_after", bounded{0, day}, "never",
		"A call that takes longer counts as slow.",
		func(s *Spec) **time.Duration { return &s.Breaker.SlowAfter }, func(p *Policy) *time.Duration { return &p.Breaker.SlowAfter }),
	number("breaker.slow", bounded{0, 1},
		"The part of the calls that must be slow.",
		func(s *Spec) **float64 { return &s.Breaker.Slow }, func(p *Policy) *float64 { return &p.Breaker.Slow }),
	duration("breaker.open", bounded{millisecond, float64(10 * time.Minute)}, "",
		"How long calls are refused before probes are let through.",
		func(s *Spec) **time.Duration { return &s.Breaker.Open }, func(p *Policy) *time.Duration { return &p.Breaker.Open }),
	whole("breaker.probes", bounded{1, 1000}, "",
		"How many probes are let through at a time, and must succeed.",
		func(s *Spec) **int { return &s.Breaker.Probes }, func(p *Policy) *int { return &p.Breaker.Probes }),

	onSwitch("hedge",
		"Whether a second attempt is made while the first is still waited for.",
		func(s *Spec) **bool { return &s.Hedge.On }, func(p *Policy) *bool { return &p.Hedge.On }),
	duration("hedge.delay", bounded{0, day}, "the 95th percentile of the method's latency",
		"How long the first attempt is waited for before the second is made.",
		func(s *Spec) **time.Duration { return &s.Hedge.Delay }, func(p *Policy) *time.Duration { return &p.Hedge.Delay }),

	whole("bulkhead.calls", bounded{0, 1_000_000}, "no bound but the client's",
		"How many calls of the method may be in flight in one client.",
		func(s *Spec) **int { return &s.Bulkhead.Calls }, func(p *Policy) *int { return &p.Bulkhead.Calls }),
}

// define completes a field that is a pointer in Spec and a value in Policy.
func define[T any](f Field, said func(*Spec) **T, value func(*Policy) *T, parse func(string) (T, error)) Field {
	f.said = func(s *Spec) bool { return *said(s) != nil }
	f.copy = func(p *Policy, s *Spec) { *value(p) = **said(s) }
	f.clear = func(s *Spec) { *said(s) = nil }
	f.value = func(p *Policy) any { return *value(p) }
	f.parse = func(s *Spec, text string) error {
		v, err := parse(text)
		if err == nil {
			*said(s) = &v
		}
		return err
	}
	return f.withDefault()
}

func (f Field) withDefault() Field {
	p := Default()
	f.Default = f.format(&p)
	return f
}

func duration(name string, b bounded, zero, doc string, said func(*Spec) **time.Duration, value func(*Policy) *time.Duration) Field {
	f := Field{Name: name, Kind: KindDuration, Min: b.min, Max: b.max, Zero: zero, ZeroToo: zero != "" && b.min > 0, Doc: doc}
	return define(f, said, value, parseDuration)
}

func whole(name string, b bounded, zero, doc string, said func(*Spec) **int, value func(*Policy) *int) Field {
	return define(Field{Name: name, Kind: KindCount, Min: b.min, Max: b.max, Zero: zero, Doc: doc}, said, value, parseCount)
}

// number is a field that may be a fraction; 0 is never in bounds.
func number(name string, b bounded, doc string, said func(*Spec) **float64, value func(*Policy) *float64) Field {
	return define(Field{Name: name, Kind: KindNumber, Min: b.min, Max: b.max, Above: b.min == 0, Doc: doc}, said, value, parseNumber)
}

func boolean(name, doc string, said func(*Spec) **bool, value func(*Policy) *bool) Field {
	return define(Field{Name: name, Kind: KindBool, Doc: doc}, said, value, parseBool)
}

// onSwitch is the switch of a part that is off by default.
func onSwitch(name, doc string, said func(*Spec) **bool, value func(*Policy) *bool) Field {
	return define(Field{Name: name, Kind: KindSwitch, Values: []string{"on", "off"}, Doc: doc}, said, value, parseSwitch)
}

// offSwitch is the switch of a part that is on by default, and so is stored the
// other way round.
func offSwitch(name, doc string, said func(*Spec) **bool, value func(*Policy) *bool) Field {
	f := onSwitch(name, doc, said, value)
	f.value = func(p *Policy) any { return !*value(p) }
	f.parse = func(s *Spec, text string) error {
		on, err := parseSwitch(text)
		if err == nil {
			*said(s) = new(!on)
		}
		return err
	}
	return f.withDefault()
}

func codeNames() []string {
	var names []string
	for c := warren.Code(1); c.Valid(); c++ {
		names = append(names, c.String())
	}
	return names
}

func codes(name, doc string, said func(*Spec) *[]warren.Code, value func(*Policy) *[]warren.Code) Field {
	f := Field{
		Name: name, Kind: KindCodes, Values: codeNames(), Doc: doc,
		said:  func(s *Spec) bool { return *said(s) != nil },
		copy:  func(p *Policy, s *Spec) { *value(p) = *said(s) },
		clear: func(s *Spec) { *said(s) = nil },
		value: func(p *Policy) any { return *value(p) },
	}
	f.parse = func(s *Spec, text string) error {
		list, err := parseCodes(text)
		if err == nil {
			*said(s) = list
		}
		return err
	}
	return f.withDefault()
}
