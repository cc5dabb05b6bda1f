package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

var confirmChecks = []check{
	{"confirm tags count from confirm.select on", confirmTags},
	{"without confirm.select nothing is confirmed", confirmNotAsked},
	{"confirm.select without waiting works like with", confirmNoWait},
	{"confirm.select again keeps counting", confirmTwice},
	{"a multiple confirm counts for all before it", confirmMultiple},
	{"each channel counts its own confirms", confirmPerChannel},
	{"a message without a queue is acked", confirmUnroutable},
	{"a message for several queues is confirmed once", confirmFanout},
	each("a full queue that rejects nacks", confirmRejected),
	each("a nacked message is in no queue of those that took it not", confirmPartlyRejected),
	each("an ack says that the message is there", confirmMeansEnqueued),
}

// confirms listens before anything is published.
func (s *session) confirms() <-chan amqp.Confirmation {
	return s.NotifyPublish(make(chan amqp.Confirmation, 1000))
}

func confirmTags(t *testing.T, target Target) {
	s := begin(t, target)
	s.queue("q", with(classic))
	s.plain("q", "before")
	s.ok(s.Confirm(false))
	confirms := s.confirms()
	for tag := range uint64(3) {
		s.plain("q", "after")
		if c := receive(t, confirms); c.DeliveryTag != tag+1 || !c.Ack {
			t.Errorf("publish %d is confirmed by %+v", tag+1, c)
		}
	}
	s.ready("q", 4)
}

func confirmNotAsked(t *testing.T, target Target) {
	w := wireChannel(t, target.VHost(t))
	w.message("nowhere", nil, []byte("x"))
	// An answer to something later, and none to the publish.
	w.declare(1, "q", nil)
	w.expect(1, queueDeclareOk)
}

func confirmNoWait(t *testing.T, target Target) {
	w := wireChannel(t, target.VHost(t))
	w.call(1, confirmSelect, uint8(1))
	w.message("nowhere", nil, []byte("x"))
	ack := w.expect(1, basicAck)
	same(t, "the first confirm", ack.u64(), 1)
}

func confirmTwice(t *testing.T, target Target) {
	w := wireChannel(t, target.VHost(t))
	for tag := range uint64(2) {
		w.call(1, confirmSelect, uint8(0))
		w.expect(1, confirmSelectOk)
		w.message("nowhere", nil, []byte("x"))
		ack := w.expect(1, basicAck)
		same(t, "confirm", ack.u64(), tag+1)
	}
}

func confirmMultiple(t *testing.T, target Target) {
	const n = 200
	w := wireChannel(t, target.VHost(t))
	w.declare(1, "q", nil)
	w.expect(1, queueDeclareOk)
	w.call(1, confirmSelect, uint8(0))
	w.expect(1, confirmSelectOk)
	for range n {
		w.message("q", nil, []byte("x"))
	}
	open := map[uint64]bool{}
	for tag := range uint64(n) {
		open[tag+1] = true
	}
	for len(open) > 0 {
		ack := w.expect(1, basicAck)
		tag, multiple := ack.u64(), ack.u8()
		if !open[tag] {
			t.Fatalf("publish %d is confirmed twice", tag)
		}
		delete(open, tag)
		for before := range open {
			if multiple&1 == 1 && before < tag {
				delete(open, before)
			}
		}
	}
}

func confirmPerChannel(t *testing.T, target Target) {
	s := begin(t, target)
	other := s.channel()
	s.ok(s.Confirm(false))
	s.ok(other.Confirm(false))
	first, second := s.confirms(), other.confirms()
	s.plain("nowhere", "x")
	receive(t, first)
	other.plain("nowhere", "x")
	if c := receive(t, second); c.DeliveryTag != 1 {
		t.Errorf("the second channel's first confirm is %d", c.DeliveryTag)
	}
}

func confirmUnroutable(t *testing.T, target Target) {
	s := begin(t, target)
	if !s.confirmed("", "nowhere", amqp.Publishing{}) {
		t.Error("nacked")
	}
	if !s.confirmed("amq.direct", "nowhere", amqp.Publishing{}) {
		t.Error("nacked")
	}
}

func confirmFanout(t *testing.T, target Target) {
	s := begin(t, target)
	for _, q := range []string{"one", "two", "three"} {
		s.queue(q, with(classic))
		s.ok(s.QueueBind(q, "", "amq.fanout", false, nil))
	}
	s.ok(s.Confirm(false))
	confirms := s.confirms()
	for tag := range uint64(2) {
		s.ok(s.PublishWithContext(t.Context(), "amq.fanout", "", false, false, amqp.Publishing{}))
		if c := receive(t, confirms); c.DeliveryTag != tag+1 || !c.Ack {
			t.Errorf("confirmed by %+v, want %d", c, tag+1)
		}
	}
	for _, q := range []string{"one", "two", "three"} {
		s.ready(q, 2)
	}
}

func confirmRejected(t *testing.T, target Target, kind string) {
	s := begin(t, target)
	s.queue("q", with(kind, "x-max-length", 1, "x-overflow", "reject-publish"))
	// A quorum queue notices a little later that it is full, and then nacks.
	s.eventually("a nack", func() bool { return !s.confirmed("", "q", amqp.Publishing{Body: []byte("x")}) })
	if kind == classic {
		s.arrive("q", "x")
		s.fill("q", "room again")
	}
}

func confirmPartlyRejected(t *testing.T, target Target, kind string) {
	s := begin(t, target)
	s.queue("full", with(kind, "x-max-length", 0, "x-overflow", "reject-publish"))
	s.queue("other", with(classic))
	s.ok(s.QueueBind("full", "", "amq.fanout", false, nil))
	s.ok(s.QueueBind("other", "", "amq.fanout", false, nil))
	s.eventually("a nack", func() bool { return !s.confirmed("amq.fanout", "", amqp.Publishing{Body: []byte("x")}) })
	if d := s.get("other"); string(d.Body) != "x" {
		t.Errorf("got %q", d.Body)
	}
}

func confirmMeansEnqueued(t *testing.T, target Target, kind string) {
	s := begin(t, target)
	s.queue("q", with(kind))
	for _, body := range []string{"1", "2", "3"} {
		s.fill("q", body)
		if d, ok, err := s.another().Get("q", true); err != nil || !ok || string(d.Body) != body {
			t.Fatalf("got %q, %v, %v; want %q", d.Body, ok, err, body)
		}
	}
}
