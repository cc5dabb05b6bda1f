package policy

import (
	"fmt"
	"time"

	"github.com/warren-rpc/warren/internal/setting"
)

// contradiction is something about several values of one policy.
type contradiction struct {
	level setting.Level
	// fields are those that bring it about. It is told of the first that the
	// pattern itself says; a pattern that says none of them inherits it.
	fields []string
	// broken returns what is wrong, or nothing.
	broken func(*entry) string
}

var contradictions = []contradiction{
	{setting.LevelError, []string{"attempt_timeout", "timeout"}, func(e *entry) string {
		if e.policy.AttemptTimeout > e.policy.Timeout {
			return fmt.Sprintf("%s is longer than %s", e.tell("attempt_timeout"), e.tell("timeout"))
		}
		return ""
	}},
	{setting.LevelError, []string{"retry.first", "retry.most"}, func(e *entry) string {
		if e.policy.Retry.First > e.policy.Retry.Most {
			return fmt.Sprintf("%s is longer than %s", e.tell("retry.first"), e.tell("retry.most"))
		}
		return ""
	}},
	{setting.LevelError, []string{"hedge", "idempotent"}, func(e *entry) string {
		if e.policy.Hedge.On && !e.policy.Idempotent {
			return "hedging may execute a call twice, and the method is not idempotent"
		}
		return ""
	}},
	{setting.LevelError, []string{"hedge", "retry.attempts"}, func(e *entry) string {
		if e.policy.Hedge.On && e.policy.Retry.Attempts == 1 {
			return "the second attempt can never start: retry.attempts is 1"
		}
		return ""
	}},
	{setting.LevelError, []string{"hedge.delay", "attempt_timeout", "timeout"}, func(e *entry) string {
		switch p := &e.policy; {
		case !p.Hedge.On || p.Hedge.Delay == 0:
		case p.Hedge.Delay >= p.Timeout:
			return fmt.Sprintf("the second attempt can never start: %s is not shorter than %s", e.tell("hedge.delay"), e.tell("timeout"))
		case p.AttemptTimeout > 0 && p.AttemptTimeout <= p.Timeout && p.Hedge.Delay >= p.AttemptTimeout:
			return fmt.Sprintf("the second attempt can never start: %s is not shorter than %s",
				e.tell("hedge.delay"), e.tell("attempt_timeout"))
		}
		return ""
	}},
	{setting.LevelError, []string{"budget.tokens", "budget", "retry.attempts"}, func(e *entry) string {
		// A failure takes one, and more than half must then be left.
		if p := &e.policy; !p.Budget.Off && p.Budget.Tokens <= 2 && p.Retry.Attempts > 1 {
			return fmt.Sprintf("the second attempt can never start: the first failure leaves half of %s or less", e.tell("budget.tokens"))
		}
		return ""
	}},
	{setting.LevelError, []string{"retry.attempts", "retry.first", "retry.most", "retry.jitter", "timeout"}, func(e *entry) string {
		for _, s := range e.policy.Timeline() {
			if s.When == Never {
				return fmt.Sprintf("attempt %d can never start: the waits before it last %s, no less than %s",
					s.Attempt, setting.FormatDuration(s.Earliest), e.tell("timeout"))
			}
		}
		return ""
	}},
	{setting.LevelWarning, []string{"attempt_timeout", "retry.attempts", "timeout", "retry.first", "retry.most"}, func(e *entry) string {
		p := &e.policy
		if p.AttemptTimeout == 0 || p.AttemptTimeout > p.Timeout || p.Retry.First > p.Retry.Most {
			return "" // the attempts divide what there is, or it is an error anyway
		}
		total := time.Duration(p.Retry.Attempts) * p.AttemptTimeout
		for n := range p.Retry.Attempts - 1 {
			total += p.Retry.longestWait(n)
		}
		if total <= p.Timeout || p.Retry.Attempts == 1 {
			return ""
		}
		return fmt.Sprintf("%d attempts of %s and the waits between them take up to %s, longer than %s: the last get less, or do not start",
			p.Retry.Attempts, setting.FormatDuration(p.AttemptTimeout), setting.FormatDuration(total), e.tell("timeout"))
	}},
	{setting.LevelWarning, []string{"breaker.slow_after", "timeout"}, func(e *entry) string {
		if p := &e.policy; !p.Breaker.Off && p.Breaker.SlowAfter >= p.Timeout {
			return fmt.Sprintf("no call is slow: %s is not shorter than %s", e.tell("breaker.slow_after"), e.tell("timeout"))
		}
		return ""
	}},
}

func (c *checker) contradictions(e *entry) {
	for _, k := range contradictions {
		for _, name := range k.fields {
			if e.from[fieldIndex(name)] != e {
				continue
			}
			if what := k.broken(e); what != "" {
				c.add(k.level, e.pattern, name, "%s", what)
			}
			break
		}
	}
}

// tell names a value of an entry, and the pattern that it is from if that is
// another: "timeout (2s, from *)".
func (e *entry) tell(name string) string {
	i := fieldIndex(name)
	text := name + " (" + e.format(i)
	switch from := e.from[i]; {
	case from == e:
	case from.parent == nil:
		text += ", the default"
	default:
		text += ", from " + from.pattern
	}
	return text + ")"
}
