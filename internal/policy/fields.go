package policy

import (
	"slices"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/setting"
)

const (
	day         = float64(24 * time.Hour)
	minute      = float64(time.Minute)
	second      = float64(time.Second)
	millisecond = float64(time.Millisecond)
)

// fields is the table of all values of a policy, whose bounds are those that
// reliability.Policy documents. Merging, checking, explaining, reading files and
// the JSON Schema go by it, so that a value is added here, there and in [Policy]
// alone.
var fields = withDefaults([]setting.Field{
	{Name: "timeout", Kind: setting.Duration, Min: millisecond, Max: day,
		Doc: "The deadline of calls whose context has none."},
	{Name: "attempt_timeout", Kind: setting.Duration, Min: millisecond, Max: day, Zero: "a third of the call's time, at least 1s",
		Doc: "How long an attempt is waited for before the next is made; the last gets all the time that remains."},
	{Name: "idempotent", Kind: setting.Bool,
		Doc: "Whether the handler may run more than once for one call without harm."},

	{Name: "retry.attempts", Kind: setting.Count, Min: 1, Max: 5,
		Doc: "How many attempts there are in all, the first included, but for those that the broker refuses; 1 is no retry."},
	{Name: "retry.first", Kind: setting.Duration, Min: millisecond, Max: minute,
		Doc: "The longest wait before the first retry; it doubles with each."},
	{Name: "retry.most", Kind: setting.Duration, Min: millisecond, Max: minute,
		Doc: "The longest wait before any retry."},
	{Name: "retry.jitter", Kind: setting.Bool,
		Doc: "Whether each wait is drawn evenly from zero to its bound, so that those who failed together do not come again together."},
	{Name: "retry.codes", Kind: setting.List, Values: codeNames(), Of: "code",
		Doc: "The codes of errors after which a call is repeated."},
	{Name: "retry.fail_nacked", Kind: setting.Bool,
		Doc: "Whether a call that the broker refuses and that is not repeated ends at once, and not at its deadline."},

	{Name: "budget", Kind: setting.Switch,
		Doc: "Whether a budget bounds what retries and hedges add to the load."},
	{Name: "budget.tokens", Kind: setting.Number, Min: 1, Max: 1000,
		Doc: "How many tokens there are at most; a failure takes one, and nothing is repeated while half or fewer are left."},
	{Name: "budget.ratio", Kind: setting.Number, Above: true, Max: 1,
		Doc: "What a success gives back, as a part of a token."},

	{Name: "breaker", Kind: setting.Switch,
		Doc: "Whether calls are refused without trying while too many fail."},
	{Name: "breaker.window", Kind: setting.Duration, Min: second, Max: 10 * minute,
		Doc: "How far back calls count."},
	{Name: "breaker.volume", Kind: setting.Count, Min: 1, Max: 1_000_000,
		Doc: "How many calls the window must hold before they are judged."},
	{Name: "breaker.failures", Kind: setting.Number, Above: true, Max: 1,
		Doc: "The part of the calls that must fail."},
	{Name: "breaker.slow_after", Kind: setting.Duration, Max: day, Zero: "never",
		Doc: "A call that takes longer counts as slow."},
	{Name: "breaker.slow", Kind: setting.Number, Above: true, Max: 1,
		Doc: "The part of the calls that must be slow."},
	{Name: "breaker.open", Kind: setting.Duration, Min: millisecond, Max: 10 * minute,
		Doc: "How long calls are refused before probes are let through."},
	{Name: "breaker.probes", Kind: setting.Count, Min: 1, Max: 1000,
		Doc: "How many probes are let through at a time, and must succeed."},

	{Name: "hedge", Kind: setting.Switch,
		Doc: "Whether a second attempt is made while the first is still waited for."},
	{Name: "hedge.delay", Kind: setting.Duration, Max: day, Zero: "the 95th percentile of the method's latency",
		Doc: "How long the first attempt is waited for before the second is made."},

	{Name: "bulkhead.calls", Kind: setting.Count, Max: 1_000_000, Zero: "no bound but the client's",
		Doc: "How many calls of the method may be in flight in one client."},
})

func withDefaults(fields []setting.Field) []setting.Field {
	p := Default()
	for i := range fields {
		value, _ := fields[i].Get(&p)
		fields[i].Default = fields[i].Format(value)
	}
	return fields
}

func codeNames() []string {
	var names []string
	for c := warren.Code(1); c.Valid(); c++ {
		names = append(names, c.String())
	}
	return names
}

// Fields returns all fields, in the order in which they are told. The slice is
// the caller's.
func Fields() []setting.Field { return slices.Clone(fields) }

func fieldIndex(name string) int {
	return slices.IndexFunc(fields, func(f setting.Field) bool { return f.Name == name })
}
