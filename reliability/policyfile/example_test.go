package policyfile_test

import (
	"fmt"

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

// What the rules of a file amount to for a method.
func ExampleLoad() {
	file, err := policyfile.Load(example)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := file.Rules.Policy("orders.getAll")
	fmt.Println(*p.Timeout, *p.AttemptTimeout, *p.Idempotent, *p.Retry.Attempts, err)
	// Output: 6s 1.8s true 3 <nil>
}
