package reliability_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability"
)

func ExampleRules_Policy() {
	rules := reliability.Rules{Methods: map[string]reliability.Policy{
		"*":        {Timeout: new(5 * time.Second)},
		"orders.*": {Idempotent: new(true), Retry: reliability.RetryPolicy{Attempts: new(4)}},
	}}
	p, err := rules.Policy("orders.get")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(*p.Timeout, *p.Idempotent, *p.Retry.Attempts, *p.Retry.Most)
	// Output: 5s true 4 2s
}

// Each value of a policy is in the table by which files and checks go.
func TestEveryValueOfAPolicyHasAField(t *testing.T) {
	t.Parallel()
	var count func(reflect.Type) int
	count = func(of reflect.Type) (n int) {
		for f := range of.Fields() {
			if f.Type.Kind() == reflect.Struct {
				n += count(f.Type)
			} else {
				n++
			}
		}
		return n
	}
	if n := count(reflect.TypeFor[reliability.Policy]()); n != len(policy.Fields()) {
		t.Errorf("a policy has %d values, and %d fields are known", n, len(policy.Fields()))
	}
}

// What a policy amounts to can be said again, and amounts to the same.
func TestPolicyOfRulesSaysEverything(t *testing.T) {
	t.Parallel()
	rules := reliability.Rules{Methods: map[string]reliability.Policy{
		"*": {Hedge: reliability.HedgePolicy{Delay: new(time.Second)}, Idempotent: new(true)},
		"m": {Budget: reliability.BudgetPolicy{Off: new(true)}, Timeout: new(3 * time.Second)},
	}}
	p, err := rules.Policy("m")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range policy.Fields() {
		if _, said := f.Get(p); !said {
			t.Errorf("%s is not said", f.Name)
		}
	}
	want := policy.Default()
	want.Idempotent, want.Timeout, want.Budget.Off, want.Hedge.On, want.Hedge.Delay = true, 3*time.Second, true, true, time.Second
	if got := policy.Of(p); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v; want %+v", got, want)
	}
	if got := policy.Of(reliability.Policy{}); !reflect.DeepEqual(got, policy.Default()) {
		t.Errorf("the zero policy is %+v; want the defaults", got)
	}
	rules.Methods["m"] = reliability.Policy{Timeout: new(time.Duration(0))}
	if _, err := rules.Policy("m"); err == nil || !strings.HasPrefix(err.Error(), "reliability: methods.m.timeout: ") {
		t.Errorf("rules that are wrong: %v", err)
	}
	if found := reliability.Check(rules); len(found) != 1 || found[0].Level != reliability.LevelError || found[0].Field != "timeout" {
		t.Errorf("Check finds %v", found)
	}
}
