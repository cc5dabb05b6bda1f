package conformance

import (
	"testing"
)

var exchangeChecks = []check{
	{"predeclared exchanges exist", func(t *testing.T, target Target) {
		s := begin(t, target)
		for _, name := range []string{"amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"} {
			if !s.hasExchange(name) {
				t.Errorf("no exchange %q", name)
			}
		}
	}},
	{"passive declare of a missing exchange is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		err := s.ExchangeDeclarePassive("x", "direct", true, false, false, false, nil)
		s.refused(err, 404, "NOT_FOUND - no exchange 'x' in vhost 'VHOST'")
	}},
}
