// Package conformance says what a broker must do for the programs that
// test/amqptest stands in for RabbitMQ. The same tests run against both: what
// they assert was measured on RabbitMQ first, so that a program tested over the
// in-process broker meets the behaviour that it will meet in production.
package conformance

import (
	"testing"
)

// Target is a broker under judgement. All functions fail the test on error.
type Target struct {
	// Name says which broker it is, for the few tests whose expectation differs.
	// A difference is listed with its reason in the documentation of
	// test/amqptest; see Known.
	Name string

	// VHost returns the URL of an empty virtual host of this test's own, on a
	// broker that other tests use meanwhile. Its user may do everything there.
	VHost func(t testing.TB) string

	// Dedicated returns a broker of this test's own, which it may break.
	Dedicated func(t testing.TB) Broker

	// AddUser makes a user of the virtual host that url names, with permissions
	// like RabbitMQ's three regular expressions, and returns that user's URL.
	AddUser func(t testing.TB, url, user, configure, write, read string) string
}

// Broker is one that a test has for itself.
type Broker struct {
	URL string
	// Restart ends the broker in an orderly way and starts it again, with what it
	// had on disk.
	Restart func(t testing.TB)
	// MemoryAlarm raises or clears the alarm that blocks publishing connections.
	MemoryAlarm func(t testing.TB, on bool)
	// CloseConnections closes all client connections with 320 and the reason.
	CloseConnections func(t testing.TB, reason string)
}

// RabbitMQ and InProcess are the names of the two targets.
const (
	RabbitMQ  = "rabbitmq"
	InProcess = "amqptest"
)

// check is one test of the suite.
type check struct {
	name string
	run  func(t *testing.T, target Target)
}

// Run judges a broker. Checks run in parallel.
func Run(t *testing.T, target Target) {
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range group.checks {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(t, target)
				})
			}
		})
	}
}

// groups lists the checks by subject, each group in a file of its own.
var groups = []struct {
	name   string
	checks []check
}{
	{"connection", connectionChecks},
	{"channel", channelChecks},
	{"exchange", exchangeChecks},
	{"routing", routingChecks},
	{"headers", headersChecks},
	{"tables", tableChecks},
	{"queue", queueChecks},
	{"arguments", argumentChecks},
	{"quorum", quorumChecks},
	{"permission", permissionChecks},
	{"broken", brokenChecks},
	{"publish", publishChecks},
	{"confirm", confirmChecks},
	{"recover", recoverChecks},
	{"limit", limitChecks},
	{"deadLetter", deadLetterChecks},
	{"replyTo", replyToChecks},
	{"ttl", ttlChecks},
	{"get", getChecks},
	{"transaction", transactionChecks},
	{"ack", ackChecks},
	{"prefetch", prefetchChecks},
	{"consume", consumeChecks},
}
