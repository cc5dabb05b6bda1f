package setting_test

import (
	"math"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/setting"
)

func TestDurationsHaveAUnitAndNoSign(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "5", "1.5", "-1s", "s", "1 s", "1d", "0", "+1s", ".5s", "99999999h"} {
		if d, err := setting.ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
	for text, want := range map[string]time.Duration{"250ms": 250 * time.Millisecond, "1h30m": 90 * time.Minute, "0s": 0} {
		if d, err := setting.ParseDuration(text); err != nil || d != want {
			t.Errorf("%q is %v, %v", text, d, err)
		}
	}
}

func TestFieldSaysAndKeepsItsBounds(t *testing.T) {
	t.Parallel()
	const millisecond, hour = float64(time.Millisecond), float64(time.Hour)
	for _, c := range []struct {
		field   setting.Field
		bounds  string
		allowed []any
		refused []any
	}{
		{setting.Field{Kind: setting.Bool}, "", []any{true, false}, nil},
		{setting.Field{Kind: setting.Count, Min: 1, Max: 5}, "from 1 to 5", []any{1, 5}, []any{0, 6, -1}},
		{
			setting.Field{Kind: setting.Number, Above: true, Max: 1},
			"above 0 to 1",
			[]any{0.1, 1.0}, []any{0.0, 1.1, math.NaN(), math.Inf(1)},
		},
		{
			setting.Field{Kind: setting.Duration, Min: millisecond, Max: hour, Zero: "never"},
			"0s, or from 1ms to 1h",
			[]any{time.Duration(0), time.Millisecond, time.Hour}, []any{time.Duration(1), 2 * time.Hour, -time.Second},
		},
	} {
		if got := c.field.Bounds(); got != c.bounds {
			t.Errorf("%q; want %q", got, c.bounds)
		}
		for _, value := range c.allowed {
			if !c.field.Allows(value) {
				t.Errorf("%s: %v is refused", c.bounds, value)
			}
		}
		for _, value := range c.refused {
			if c.field.Allows(value) {
				t.Errorf("%s: %v is allowed", c.bounds, value)
			}
		}
	}
}

type part struct {
	MaxAge *time.Duration
	Off    *bool
}

type whole struct {
	CORS  part
	Hedge struct{ On bool }
	Names []string
	H2C   bool
}

func TestFieldFindsItsPlaceInAStruct(t *testing.T) {
	t.Parallel()
	var to whole
	for _, c := range []struct {
		field    setting.Field
		optional bool
		value    any
		has      func() bool
	}{
		{setting.Field{Name: "cors.max_age", Kind: setting.Duration}, true, time.Second, func() bool { return *to.CORS.MaxAge == time.Second }},
		{setting.Field{Name: "cors", Kind: setting.Switch}, true, true, func() bool { return !*to.CORS.Off }},
		{setting.Field{Name: "hedge", Kind: setting.Switch}, false, true, func() bool { return to.Hedge.On }},
		{setting.Field{Name: "h2c", Kind: setting.Bool}, false, true, func() bool { return to.H2C }},
		{setting.Field{Name: "names", Kind: setting.List}, true, []string{"a"}, func() bool { return to.Names[0] == "a" }},
	} {
		if value, said := c.field.Get(to); said == c.optional {
			t.Errorf("%s: %v, %v before it is set", c.field.Name, value, said)
		}
		c.field.Set(&to, c.value)
		got, said := c.field.Get(&to)
		if !c.has() || !said || c.field.Format(got) != c.field.Format(c.value) {
			t.Errorf("%s: %v, %v; want %v", c.field.Name, got, said, c.value)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a field that the struct does not have was found")
		}
	}()
	f := setting.Field{Name: "cors.nope", Kind: setting.Bool}
	f.Get(to)
}
