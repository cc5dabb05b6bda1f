package policy_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/policy"
)

func TestSpecSurvivesJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		spec, _ := drawSpec(t)
		before := policy.Rules{Methods: map[string]policy.Spec{"*": spec}}
		data, err := json.Marshal(before)
		if err != nil {
			t.Fatal(err)
		}
		var after policy.Rules
		if err := json.Unmarshal(data, &after); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		got, want := table(t, after.Methods).Explain("m"), table(t, before.Methods).Explain("m")
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: %v, want %v", data, got, want)
		}
	})
}

func TestSpecAsJSON(t *testing.T) {
	t.Parallel()
	const text = `{"attempt_timeout":"1.5s","breaker":"off","budget":{"ratio":0.5},"hedge":"on","idempotent":true,` +
		`"retry":{"attempts":2,"codes":["aborted"]}}`
	var s policy.Spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if out, err := json.Marshal(s); err != nil || string(out) != text {
		t.Errorf("%s, %v", out, err)
	}
	for _, bad := range []string{
		`[]`, `{"timeout":5}`, `{"timeout":"5"}`, `{"timeout":null}`, `{"retry":null}`, `{"retry":{"attempts":"2"}}`, `{"retry":{"attempts":1.5}}`,
		`{"hedge":true}`, `{"hedge":{"delay":{}}}`, `{"nope":1}`, `{"retry":{"codes":"aborted"}}`, `{"retry":{"codes":["x"]}}`, `{"idempotent":"true"}`,
	} {
		var s policy.Spec
		if err := json.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s is taken for %+v", bad, s)
		}
	}
	conflict := policy.Spec{Budget: policy.BudgetSpec{Off: new(true), Ratio: new(0.5)}}
	if out, err := json.Marshal(conflict); err == nil {
		t.Errorf("%s", out)
	}
}
