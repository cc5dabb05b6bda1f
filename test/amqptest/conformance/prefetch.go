package conformance

import "testing"

var prefetchChecks = []check{
	each("prefetch bounds what each later consumer holds", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2", "3", "4", "5")
		s.qos(2)
		one := s.expect(s.consume("q", false), "1", "2")
		s.ready("q", 3)
		second := s.consume("q", false)
		s.expect(second, "3", "4")
		s.ready("q", 1)
		s.ok(one[0].Ack(false))
		s.ready("q", 0)
	}),
	each("a new prefetch leaves consumers as they are", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.qos(1)
		deliveries := s.consume("q", false)
		s.qos(10)
		s.fill("q", "1", "2")
		s.expect(deliveries, "1")
		s.ready("q", 1)
	}),
	each("prefetch 0 is no bound", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.qos(1)
		s.qos(0)
		s.fill("q", "1", "2", "3")
		s.expect(s.consume("q", false), "1", "2", "3")
	}),
	each("prefetch does not bound noAck", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.qos(1)
		s.fill("q", "1", "2", "3")
		s.expect(s.consume("q", true), "1", "2", "3")
	}),
	each("prefetch does not bound get", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.qos(1)
		s.fill("q", "1", "2", "3")
		for range 3 {
			s.take("q")
		}
	}),
	{"global prefetch bounds the channel's consumers together", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.queue("p", with(classic))
		s.ok(s.Qos(2, 0, true))
		one, two := s.consume("q", false), s.consume("p", false)
		s.fill("q", "1", "2")
		d := s.expect(one, "1", "2")
		s.fill("p", "3", "4")
		s.ready("p", 2)
		s.ok(d[0].Ack(false))
		s.expect(two, "3")
		s.ready("p", 1)
	}},
	{"a global prefetch that grows lets more through", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.ok(s.Qos(1, 0, true))
		deliveries := s.consume("q", false)
		s.fill("q", "1", "2", "3")
		s.expect(deliveries, "1")
		s.ready("q", 2)
		s.ok(s.Qos(2, 0, true))
		s.expect(deliveries, "2")
		s.ready("q", 1)
		s.ok(s.Qos(0, 0, true))
		s.expect(deliveries, "3")
	}},
	{"a quorum queue refuses consumers with a global prefetch", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum))
		s.ok(s.Qos(1, 0, true))
		_, err := s.Consume("q", "", false, false, false, false, nil)
		s.refused(err, 540, "NOT_IMPLEMENTED - queue 'q' in vhost 'VHOST' does not support global qos")
	}},
	{"a prefetch in bytes is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.refused(s.Qos(0, 1, false), 540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)")
	}},
}
