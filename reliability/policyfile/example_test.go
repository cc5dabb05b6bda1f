package policyfile_test

import (
	"fmt"

	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability/policyfile"
)

func ExampleParse() {
	rules, findings, err := policyfile.Parse("policy.yaml", []byte(`
methods:
  "*":
    timeout: 5s
  orders.*:
    retry:
      attempts: 9
`))
	fmt.Println(len(rules.Methods), len(findings))
	fmt.Println(err)
	// Output:
	// 0 1
	// policy.yaml:7:7: methods.orders.*.retry.attempts: is 9; it must be from 1 to 5
}

// What a method's policy is, and where each value comes from.
func ExampleLoad() {
	file, err := policyfile.Load(example)
	if err != nil {
		fmt.Println(err)
		return
	}
	table, err := policy.NewTable(file.Rules)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range table.Explain("orders.getAll")[:4] {
		fmt.Printf("%s: %s, from %s\n", s.Field, s.Value, s.From)
	}
	// Output:
	// timeout: 6s, from orders.getAll
	// attempt_timeout: 1.8s, from orders.getAll
	// idempotent: true, from orders.get*
	// retry.attempts: 3, from orders.get*
}
