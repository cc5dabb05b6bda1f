package amqptest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestCancelledConsumerIsToldAndTheMessageStays(t *testing.T) {
	for name, rule := range map[string]Rule{
		"of the delivery's queue": {When: deliveries, Nth: 2, Do: CancelConsumer("")},
		"of a queue by name":      {When: publishes, Nth: 2, Do: CancelConsumer("q")},
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, []Rule{rule}, func(s *session) {
				cancelled := s.ch.NotifyCancel(make(chan string, 1))
				got := s.consume()
				s.publish("a")
				s.publish("b")
				s.publish("c")
				want(s.t, "delivered", delivered(got), []string{"a", "b"})
				if tag := <-cancelled; tag != "consumer" {
					s.t.Errorf("cancelled %q", tag)
				}
				s.isOpen()
				want(s.t, "queued", queued(s.t, s.b, "q"), []string{"c"})
			})
		})
	}
}

func TestBlockStopsPublishersAndTellsThem(t *testing.T) {
	withSession(t, []Rule{{When: publishes, Nth: 2, Do: Block(5 * time.Second)}}, func(s *session) {
		s.publish("a", "b")
		s.send("c")
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		if len(s.blocked) != 1 {
			s.t.Fatalf("told %d times", len(s.blocked))
		}
		if got := <-s.blocked; !got.Active || got.Reason != "low on memory" {
			s.t.Errorf("told %+v", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := <-s.blocked; got.Active {
			s.t.Errorf("told %+v", got)
		}
		want(s.t, "confirmed", s.confirmed(), []int{1, 2, 3})
	})
}

func TestBlockLastsUntilUnblock(t *testing.T) {
	withSession(t, []Rule{{When: publishes, Do: Block(0)}}, func(s *session) {
		s.publish("a")
		s.send("b")
		time.Sleep(time.Hour)
		want(s.t, "confirmed", s.confirmed(), []int{1})
		s.b.Unblock()
		synctest.Wait()
		want(s.t, "confirmed afterwards", s.confirmed(), []int{2})
		s.isOpen()
	})
}

func TestStallKeepsFromReadingAndNotFromWriting(t *testing.T) {
	withSession(t, []Rule{{When: publishes, Nth: 2, Do: StallReading(10 * time.Second)}}, func(s *session) {
		got := s.consume()
		s.publish("a", "b")
		s.send("c")
		time.Sleep(10*time.Second - 1)
		want(s.t, "delivered", delivered(got), []string{"a", "b"})
		want(s.t, "confirmed", s.confirmed(), []int{1, 2})
		time.Sleep(time.Nanosecond)
		want(s.t, "delivered when the stall is over", delivered(got), []string{"c"})
		want(s.t, "confirmed then", s.confirmed(), []int{3})
		s.isOpen()
	})
}

func TestHalfOpenIsNoticedByHeartbeatsAlone(t *testing.T) {
	withSession(t, []Rule{{When: deliveries, Nth: 2, Do: HalfOpen()}}, func(s *session) {
		got := s.consume()
		s.publish("a", "b")
		want(s.t, "delivered", delivered(got), []string{"a", "b"})
		s.isOpen()
		// For the broker it is gone: what it held is another's.
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a", "b"})
		began := time.Now()
		s.isOpen()
		s.awaitClosed()
		if took := time.Since(began); took < sessionHeartbeat || took > 3*sessionHeartbeat {
			s.t.Errorf("noticed after %v", took)
		}
		s.isLost(0)
	})
}

func TestCorruptFrameEndsTheConnection(t *testing.T) {
	withSession(t, []Rule{{When: deliveries, Nth: 2, Do: Corrupt()}}, func(s *session) {
		s.consume()
		s.publish("a")
		s.isOpen()
		s.publish("b")
		s.isLost(amqp.FrameError)
		want(s.t, "queued", queued(s.t, s.b, "q"), []string{"a", "b"})
	})
}

func TestRestartKeepsWhatItSays(t *testing.T) {
	for _, test := range []struct {
		name   string
		keep   Keep
		exists bool
		ready  int
	}{
		{"messages", KeepMessages, true, 2},
		{"queues", LoseMessages, true, 0},
		{"nothing", LoseAll, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			withSession(t, []Rule{{When: publishes, Nth: 2, Do: Restart(test.keep, time.Minute)}}, func(s *session) {
				s.publish("a", "b")
				s.isLost(0)
				if _, err := s.b.Dial(context.Background(), "", ""); err == nil {
					s.t.Error("it accepts connections while it is down")
				}
				time.Sleep(time.Minute - 1)
				if _, err := s.b.Dial(context.Background(), "", ""); err == nil {
					s.t.Error("it accepts connections before the time is over")
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				_ = dialSession(s.t, s.b).conn.Close()
				if q, ok := s.b.Queue("/", "q"); ok != test.exists || q.Ready != test.ready {
					s.t.Errorf("queue %+v, %v", q, ok)
				}
			})
		})
	}
}

func TestCloseChannelHasTheCodeAndText(t *testing.T) {
	for _, when := range []When{publishes, deliveries} {
		t.Run(when.Method, func(t *testing.T) {
			withSession(t, []Rule{{When: when, Nth: 2, Do: CloseChannel(404, "no queue 'q' in vhost '/'")}}, func(s *session) {
				s.consume()
				s.publish("a", "b")
				closedWith(s.t, s.closed, 404, "NOT_FOUND - no queue 'q' in vhost '/'")
				if s.conn.IsClosed() {
					s.t.Error("the connection is closed too")
				}
			})
		})
	}
}

func TestCloseConnectionHasTheCodeAndText(t *testing.T) {
	for _, when := range []When{publishes, deliveries} {
		t.Run(when.Method, func(t *testing.T) {
			withSession(t, []Rule{{When: when, Nth: 2, Do: CloseConnection(320, "shut down")}}, func(s *session) {
				s.consume()
				s.publish("a", "b")
				closedWith(s.t, s.lost, 320, "CONNECTION_FORCED - shut down")
			})
		})
	}
}

func TestDoRunsBeforeTheEffectAndHoldsIt(t *testing.T) {
	let := make(chan struct{})
	var seen []Event
	rule := Rule{When: publishes, Nth: 2, Do: Do(func(ev *Event) {
		seen = append(seen, *ev)
		<-let
	})}
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		let = make(chan struct{}) // of the bubble
		s := dialSession(t, New(t, Options{Listen: noListener, Faults: []Rule{rule}}))
		s.declare("q")
		s.publish("a", "b")
		if q, _ := s.b.Queue("/", "q"); q.Ready != 1 || len(seen) != 1 || string(seen[0].Message.Body) != "b" {
			t.Errorf("%d are queued while it runs; seen: %v", q.Ready, seen)
		}
		close(let)
		want(t, "confirmed", s.confirmed(), []int{1, 2})
	})
}

func TestFramesCanBeMetOneByOne(t *testing.T) {
	body := When{Method: "frame.body", Direction: FromBroker}
	t.Run("corrupt", func(t *testing.T) {
		withSession(t, []Rule{{When: body, Do: Corrupt()}}, func(s *session) {
			s.consume()
			s.publish("a")
			s.isLost(amqp.FrameError)
		})
	})
	t.Run("drop", func(t *testing.T) {
		// The broker waits for a body, and gets the next method instead.
		withSession(t, []Rule{{When: When{Method: "frame.body", Direction: FromClient}, Do: Drop()}}, func(s *session) {
			s.publish("a")
			s.publish("b")
			s.isLost(amqp.UnexpectedFrame)
		})
	})
	t.Run("delay", func(t *testing.T) {
		withSession(t, []Rule{{When: body, Do: Delay(5 * time.Second)}}, func(s *session) {
			got := s.consume()
			s.publish("a")
			want(s.t, "delivered at once", delivered(got), []string{})
			time.Sleep(5 * time.Second)
			want(s.t, "delivered later", delivered(got), []string{"a"})
		})
	})
	t.Run("duplicate", func(t *testing.T) {
		inBubble(t, []Rule{{When: body, Do: Duplicate(1)}}, func(t *testing.T, b *Broker) {
			p := getting(t, b)
			want(t, "body", string(p.content()), "a")
			if f, err := p.next(); err != nil || f.Type != codec.FrameBody || string(f.Payload) != "a" {
				t.Errorf("got %v, %v instead of the body again", f, err)
			}
		})
	})
	t.Run("sever", func(t *testing.T) {
		inBubble(t, []Rule{{When: When{Method: "frame.header", Direction: FromBroker}, Do: SeverAfter()}}, func(t *testing.T, b *Broker) {
			p := getting(t, b)
			if f, err := p.next(); err != nil || f.Type != codec.FrameHeader {
				t.Errorf("got %v, %v instead of a header", f.Type, err)
			}
			if f, err := p.next(); err == nil {
				t.Errorf("got a %v frame after it", f.Type)
			}
		})
	})
	t.Run("heartbeat", func(t *testing.T) {
		rule := Rule{When: When{Method: "heartbeat", Direction: FromBroker}, Times: Always, Do: Drop()}
		withSession(t, []Rule{rule}, func(s *session) {
			began := time.Now()
			s.awaitClosed()
			if took := time.Since(began); took > 3*sessionHeartbeat {
				s.t.Errorf("noticed after %v", took)
			}
		})
	})
}

// getting returns a peer that has read basic.get-ok, and what follows it not yet.
func getting(t *testing.T, b *Broker) *peer {
	t.Helper()
	s := dialSession(t, b)
	s.declare("q")
	s.publish("a")
	p := login(t, b)
	p.send(1, &codec.BasicGet{Queue: "q"})
	expect[*codec.BasicGetOk](p, 1)
	return p
}
