package conformance_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/amqptest/conformance"
)

func TestInProcess(t *testing.T) {
	shared := amqptest.New(t, amqptest.Options{})
	var hosts atomic.Int64
	conformance.Run(t, conformance.Target{
		Name: conformance.InProcess,
		VHost: func(t testing.TB) string {
			name := fmt.Sprintf("conformance-%d", hosts.Add(1))
			t.Cleanup(func() { shared.RemoveVHost(name) })
			return shared.AddVHost(name)
		},
		Dedicated: func(t testing.TB) conformance.Broker {
			return inProcess(amqptest.New(t, amqptest.Options{}))
		},
		AddUser: func(t testing.TB, vhost, user, configure, write, read string) string {
			t.Helper()
			name := vhostOf(t, vhost)
			must(t, shared.AddUser(user, amqptest.User{
				Password: user, VHosts: []string{name},
				Configure: granted(configure), Write: granted(write), Read: granted(read),
			}))
			return shared.URLAs(user, user, name)
		},
	})
}

// granted is a permission that grants nothing if the expression is empty, also
// if all three are.
func granted(expression string) string {
	if expression == "" {
		return `\z.`
	}
	return expression
}

func inProcess(b *amqptest.Broker) conformance.Broker {
	return conformance.Broker{
		URL: b.URL(),
		Restart: func(testing.TB) {
			b.CloseConnections("broker forced connection closure with reason 'shutdown'")
			b.Restart(amqptest.KeepMessages)
		},
		MemoryAlarm: func(_ testing.TB, on bool) {
			if on {
				b.Block("")
			} else {
				b.Unblock()
			}
		},
		CloseConnections: func(_ testing.TB, reason string) { b.CloseConnections(reason) },
	}
}
