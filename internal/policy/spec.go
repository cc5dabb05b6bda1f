package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
)

// Spec is a policy of which only some is said: nil says nothing, and a shorter
// pattern or the default then decides. See [Policy] for the meaning, unit and
// bounds of each value.
//
//	policy.Spec{
//		Timeout: new(2 * time.Second),
//		Retry:   policy.RetrySpec{Attempts: new(5)},
//	}
//
// Budget, breaker and hedging are parts that can be on or off. Saying anything
// else of such a part says also that it is on, in code as in a file.
//
// As text (JSON, and the files of package policyfile) the names are in
// snake_case, durations are texts with a unit ("250ms"), and a part that can be
// switched is "on", "off", or an object, which means on.
type Spec struct {
	Timeout        *time.Duration
	AttemptTimeout *time.Duration
	Idempotent     *bool

	Retry    RetrySpec
	Budget   BudgetSpec
	Breaker  BreakerSpec
	Hedge    HedgeSpec
	Bulkhead BulkheadSpec
}

// RetrySpec is what is said of [RetryPolicy].
type RetrySpec struct {
	Attempts    *int
	First, Most *time.Duration
	Jitter      *bool
	// Codes says nothing if it is nil, and that there are none if it is empty.
	Codes      []warren.Code
	FailNacked *bool
}

// BudgetSpec is what is said of [BudgetPolicy].
type BudgetSpec struct {
	Off           *bool
	Tokens, Ratio *float64
}

// BreakerSpec is what is said of [BreakerPolicy].
type BreakerSpec struct {
	Off       *bool
	Window    *time.Duration
	Volume    *int
	Failures  *float64
	SlowAfter *time.Duration
	Slow      *float64
	Open      *time.Duration
	Probes    *int
}

// HedgeSpec is what is said of [HedgePolicy].
type HedgeSpec struct {
	On    *bool
	Delay *time.Duration
}

// BulkheadSpec is what is said of [BulkheadPolicy].
type BulkheadSpec struct {
	Calls *int
}

// Set says one value, written as [Setting] and files write it: field is a name
// that [Fields] lists, and value for example "250ms", "3", "0.1", "true", "off"
// or "unavailable, aborted". It refuses what is not of the field's kind; bounds
// are [Check]'s business.
func (s *Spec) Set(field, value string) error {
	f := fieldNamed(field)
	if f == nil {
		return fmt.Errorf("reliability: there is no field %.60q", field)
	}
	if err := f.parse(s, strings.TrimSpace(value)); err != nil {
		return fmt.Errorf("reliability: %s %w", field, err)
	}
	return nil
}

// complete returns s with the switches set that its other values imply.
func (s Spec) complete() Spec {
	if b := &s.Budget; b.Off == nil && (b.Tokens != nil || b.Ratio != nil) {
		b.Off = new(false)
	}
	if b := &s.Breaker; b.Off == nil && *b != (BreakerSpec{}) {
		b.Off = new(false)
	}
	if h := &s.Hedge; h.On == nil && h.Delay != nil {
		h.On = new(true)
	}
	return s
}
