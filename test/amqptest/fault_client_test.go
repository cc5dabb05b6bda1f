package amqptest

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// The tests in this file and the next have a client meet each kind of fault, and see exactly that.

var (
	publishes  = When{Method: "basic.publish"}
	deliveries = When{Method: "basic.deliver"}
)

// want compares, as lists print.
func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v; want %v", what, got, want)
	}
}

func TestDroppedPublishIsLostAndKeepsItsPlaceAmongConfirms(t *testing.T) {
	withSession(t, []Rule{{When: publishes, Nth: 2, Do: Drop()}}, func(s *session) {
		s.publish("a", "b", "c")
		want(s.t, "confirmed", s.confirmed(), []int{1, 3})
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a", "c"})
		s.isOpen()
	})
}

func TestDroppedDeliveryStaysUnacknowledgedUntilTheConsumerGoes(t *testing.T) {
	withSession(t, []Rule{{When: deliveries, Nth: 2, Do: Drop()}}, func(s *session) {
		got := s.consume()
		s.publish("a", "b", "c")
		want(s.t, "delivered", delivered(got), []string{"a", "c"})
		if q, _ := s.b.Queue("/", "q"); q.Unacked != 3 {
			s.t.Errorf("%d are unacknowledged", q.Unacked)
		}
		_ = s.conn.Close()
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a", "b", "c"})
	})
}

func TestDroppedAckBringsTheMessageBack(t *testing.T) {
	rule := Rule{When: When{Method: "basic.ack", Direction: FromClient}, Do: Drop()}
	withSession(t, []Rule{rule}, func(s *session) {
		got := s.consume()
		s.publish("a", "b")
		for range 2 {
			if err := (<-got).Ack(false); err != nil {
				s.t.Fatal(err)
			}
		}
		_ = s.conn.Close()
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a"})
	})
}

func TestDelayHoldsWhatComesBehindToo(t *testing.T) {
	for _, when := range []When{publishes, deliveries} {
		t.Run(when.Method, func(t *testing.T) {
			withSession(t, []Rule{{When: when, Nth: 2, Do: Delay(5 * time.Second)}}, func(s *session) {
				got := s.consume()
				s.publish("a", "b", "c")
				want(s.t, "delivered at once", delivered(got), []string{"a"})
				time.Sleep(5*time.Second - 1)
				want(s.t, "delivered before the delay is over", delivered(got), []string{})
				time.Sleep(time.Nanosecond)
				want(s.t, "delivered after the delay", delivered(got), []string{"b", "c"})
				want(s.t, "confirmed", s.confirmed(), []int{1, 2, 3})
			})
		})
	}
}

func TestDuplicatePublishIsConfirmedOnce(t *testing.T) {
	withSession(t, []Rule{{When: publishes, Nth: 2, Do: Duplicate(2)}}, func(s *session) {
		s.publish("a", "b", "c")
		want(s.t, "confirmed", s.confirmed(), []int{1, 2, 3})
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a", "b", "b", "b", "c"})
		s.isOpen()
	})
}

func TestDuplicateDeliveryHasTheSameTag(t *testing.T) {
	withSession(t, []Rule{{When: deliveries, Do: Duplicate(1)}}, func(s *session) {
		got := s.consume()
		s.publish("a")
		first, second := <-got, <-got
		if string(second.Body) != "a" || first.DeliveryTag != second.DeliveryTag || second.Redelivered {
			s.t.Errorf("the second is %+v", second)
		}
	})
}

func TestReorderSwapsNeighbours(t *testing.T) {
	for _, when := range []When{publishes, deliveries} {
		t.Run(when.Method, func(t *testing.T) {
			withSession(t, []Rule{{When: when, Nth: 2, Do: Reorder(time.Minute)}}, func(s *session) {
				got := s.consume()
				s.publish("a", "b", "c", "d")
				want(s.t, "delivered", delivered(got), []string{"a", "c", "b", "d"})
				want(s.t, "confirmed", s.confirmed(), []int{1, 2, 3, 4})
			})
		})
	}
}

func TestReorderEndsIfNothingFollows(t *testing.T) {
	for _, when := range []When{publishes, deliveries} {
		t.Run(when.Method, func(t *testing.T) {
			withSession(t, []Rule{{When: when, Do: Reorder(time.Minute)}}, func(s *session) {
				got := s.consume()
				s.publish("a")
				time.Sleep(time.Minute - 1)
				want(s.t, "delivered before the time is over", delivered(got), []string{})
				time.Sleep(time.Nanosecond)
				want(s.t, "delivered after it", delivered(got), []string{"a"})
				want(s.t, "confirmed", s.confirmed(), []int{1})
			})
		})
	}
}

func TestSeveringBeforeAPublishLosesItAndAfterKeepsIt(t *testing.T) {
	for name, test := range map[string]struct {
		do     Action
		queued []string
	}{
		"before": {SeverBefore(), []string{"a"}},
		"after":  {SeverAfter(), []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, []Rule{{When: publishes, Nth: 2, Do: test.do}}, func(s *session) {
				s.publish("a")
				want(s.t, "confirmed", s.confirmed(), []int{1})
				s.publish("b")
				s.isLost(0)
				want(s.t, "acknowledged", slices.DeleteFunc(s.confirmed(), func(tag int) bool { return tag < 0 }), []int{})
				want(s.t, "queued", queued(s.t, s.b, "q"), test.queued)
			})
		})
	}
}

func TestSeveringADeliveryBringsItBack(t *testing.T) {
	for name, test := range map[string]struct {
		do     Action
		second bool // whether it comes
	}{
		"before": {SeverBefore(), false},
		"after":  {SeverAfter(), true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []Rule{{When: deliveries, Nth: 2, Do: test.do}}, func(t *testing.T, b *Broker) {
				s := dialSession(t, b)
				s.declare("q")
				s.publish("a", "b")
				// A client of the library may throw away what it has read when it sees the end.
				p := login(t, b)
				p.send(1, &codec.BasicConsume{Queue: "q"})
				expect[*codec.BasicConsumeOk](p, 1)
				expect[*codec.BasicDeliver](p, 1)
				want(t, "first", string(p.content()), "a")
				if test.second {
					expect[*codec.BasicDeliver](p, 1)
					want(t, "second", string(p.content()), "b")
				}
				if f, err := p.next(); err == nil {
					t.Errorf("got a %v frame after it", f.Type)
				}
				synctest.Wait() // until the broker has put back what was delivered
				want(t, "queued", queued(t, b, "q"), []string{"a", "b"})
			})
		})
	}
}

func TestUnconfirmedPublishLeavesTheOthersTheirConfirms(t *testing.T) {
	withSession(t, []Rule{{When: publishes, Nth: 2, Do: NeverConfirm()}}, func(s *session) {
		s.publish("a", "b", "c")
		s.publish("d")
		time.Sleep(time.Hour)
		want(s.t, "confirmed", s.confirmed(), []int{1, 3, 4})
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a", "b", "c", "d"})
		s.isOpen()
	})
}

func TestNackedPublishIsNotRouted(t *testing.T) {
	withSession(t, []Rule{{When: publishes, Nth: 2, Do: Nack()}}, func(s *session) {
		s.publish("a", "b", "c")
		want(s.t, "confirmed", s.confirmed(), []int{1, -2, 3})
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a", "c"})
		if len(s.returns) > 0 {
			s.t.Error("it was returned")
		}
	})
}

func TestReturnPrecedesTheConfirm(t *testing.T) {
	withSession(t, []Rule{{When: publishes, Nth: 2, Do: Return()}}, func(s *session) {
		s.publish("a")
		s.publish("b")
		want(s.t, "confirmed", s.confirmed(), []int{1, 2})
		if r := <-s.returns; r.ReplyCode != 312 || r.ReplyText != "NO_ROUTE" || string(r.Body) != "b" || r.RoutingKey != "q" {
			s.t.Errorf("returned %+v", r)
		}
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a"})
		returned := s.b.Events(When{Method: "basic.return"})
		acks := s.b.Events(When{Method: "basic.ack", Direction: FromBroker})
		if len(returned) != 1 || len(acks) != 2 || returned[0].Seq > acks[1].Seq {
			s.t.Errorf("events: %v %v", returned, acks)
		}
		if m := returned[0].Message; m == nil || string(m.Body) != "b" || m.DeliveryMode != 2 {
			s.t.Errorf("the event's message is %+v", m)
		}
	})
}
