package conformance

import "testing"

var recoverChecks = []check{
	{"recover gives back in order, marked as redelivered", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.fill("q", "1", "2")
		deliveries := s.consume("q", false)
		s.expect(deliveries, "1", "2")
		s.ok(s.Recover(true)) //nolint:staticcheck // deprecated, and what this check is about
		for _, d := range s.expect(deliveries, "1", "2") {
			same(t, "redelivered", d.Redelivered, true)
		}
		s.ok(s.Ack(3, false))
		s.ok(s.Ack(1, false))
		s.closes(406, "PRECONDITION_FAILED - unknown delivery tag 1")
	}},
	{"recover without requeue is not implemented", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.refused(s.Recover(false), 540, "NOT_IMPLEMENTED - requeue=false") //nolint:staticcheck // deprecated, and what this check is about
	}},
	{"recover-async is not answered", func(t *testing.T, target Target) {
		w := wireChannel(t, target.VHost(t))
		w.declare(1, "q", nil)
		w.expect(1, queueDeclareOk)
		w.call(1, basicConsume, uint16(0), "q", "", uint8(0), []byte{})
		w.expect(1, basicConsumeOk)
		for _, redelivered := range []uint8{0, 1} {
			if redelivered == 0 {
				w.message("q", nil, nil)
			} else {
				w.call(1, basicRecoverAsync, uint8(1))
			}
			delivery := w.expect(1, basicDeliver)
			delivery.short()
			delivery.take(8)
			same(t, "redelivered", delivery.u8(), redelivered)
			w.content()
		}
	}},
}
