package interop

import (
	"testing"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rabbit"
)

// onEachBroker runs a test on RabbitMQ and on the broker for tests, which must
// not differ for any of the peers: each time on an empty virtual host, whose URL
// the test gets.
func onEachBroker(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("RabbitMQ", func(t *testing.T) {
		t.Parallel()
		test(t, rabbit.VHost(t))
	})
	t.Run("amqptest", func(t *testing.T) {
		t.Parallel()
		test(t, brokerForTests(t))
	})
}

// brokerForTests starts one and returns its address, with the virtual host's name
// in full: libraries differ in what an empty one is to them.
func brokerForTests(t *testing.T) (url string) {
	t.Helper()
	return amqptest.New(t, amqptest.Options{}).URLAs("guest", "guest", "/")
}

// withEachPlainServer runs a test on each broker for each library that serves.
func withEachPlainServer(t *testing.T, test func(t *testing.T, url string, kind plainServerKind)) {
	t.Helper()
	for _, kind := range plainServerKinds() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, url string) {
				t.Helper()
				test(t, url, kind)
			})
		})
	}
}
