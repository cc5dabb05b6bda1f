package policy_test

import (
	"fmt"
	"time"

	"github.com/warren-rpc/warren/internal/policy"
)

func ExampleNewTable() {
	table, err := policy.NewTable(policy.Rules{Methods: map[string]policy.Spec{
		"*":        {Timeout: new(5 * time.Second)},
		"orders.*": {Idempotent: new(true), Retry: policy.RetrySpec{Attempts: new(4)}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := table.Policy("orders.get")
	fmt.Println(p.Timeout, p.Idempotent, p.Retry.Attempts, p.Retry.Most)
	// Output: 5s true 4 2s
}
