package reliability_test

import (
	"fmt"
	"time"

	"github.com/warren-rpc/warren/reliability"
)

func ExampleNewTable() {
	table, err := reliability.NewTable(reliability.Rules{Methods: map[string]reliability.Spec{
		"*":        {Timeout: new(5 * time.Second)},
		"orders.*": {Idempotent: new(true), Retry: reliability.RetrySpec{Attempts: new(4)}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := table.Policy("orders.get")
	fmt.Println(p.Timeout, p.Idempotent, p.Retry.Attempts, p.Retry.Most)
	// Output: 5s true 4 2s
}
