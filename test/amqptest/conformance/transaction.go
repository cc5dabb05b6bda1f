package conformance

import "testing"

// transactionChecks are of what amqptest has not: it refuses to begin a
// transaction, so that no program takes a commit for granted there.
var transactionChecks = []check{
	{"a transaction begins, or is refused where there are none", func(t *testing.T, target Target) {
		s := begin(t, target)
		if err := s.Tx(); target.Name == RabbitMQ {
			s.ok(err)
		} else {
			s.refused(err, 540, "NOT_IMPLEMENTED - this broker has no transactions; use publisher confirms")
		}
	}},
	each("a transaction's messages and acks count when it commits", onRabbitMQ(func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "old")
		tx := s.another()
		tx.ok(tx.Tx())
		tx.plain("q", "rolled back")
		tx.ok(tx.TxRollback())
		tx.plain("q", "new")
		d := tx.take("q")
		tx.ok(d.Ack(false))
		s.ready("q", 0)
		tx.ok(tx.TxCommit())
		s.arrive("q", "new")
		tx.ok(tx.conn.Close())
		s.ready("q", 0)
	})),
	{"a channel has transactions or confirms", func(t *testing.T, target Target) {
		onRabbitMQ(func(t *testing.T, target Target, _ string) {
			s := begin(t, target)
			s.ok(s.Tx())
			s.refused(s.Confirm(false), 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
			s = s.channel()
			s.ok(s.Confirm(false))
			s.refused(s.Tx(), 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
		})(t, target, "")
	}},
}

// onRabbitMQ makes a check of something that RabbitMQ alone has.
func onRabbitMQ(run func(t *testing.T, target Target, kind string)) func(*testing.T, Target, string) {
	return func(t *testing.T, target Target, kind string) {
		if target.Name != RabbitMQ {
			t.Skipf("%s has no transactions; see the documentation of test/amqptest", target.Name)
		}
		run(t, target, kind)
	}
}
