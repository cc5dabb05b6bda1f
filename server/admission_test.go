package server_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// narrow is a method that does 200 requests in a second, by handlers that take
// 10 ms, and admits what waits for 100 ms.
func narrow(name string) server.Method {
	return server.Method{
		Name: name, Concurrency: 2, Prefetch: 4, Admission: server.Admission{Target: 100 * time.Millisecond},
	}
}

func tenMilliseconds(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
	time.Sleep(10 * time.Millisecond)
	return rig.Echo(ctx, req)
}

func TestOverloadedMethodShedsTheExcessAndAnswersTheRestInTime(t *testing.T) {
	for _, load := range []int{300, 600} { // requests in a second: 1.5 and 3 times what it can
		t.Run(fmt.Sprint(load), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				s := r.Serve(narrow("narrow"), tenMilliseconds)
				p := r.Peer()
				total := 5 * load
				issued := make([]time.Time, total)
				go func() {
					for i := range total {
						issued[i] = time.Now()
						meta := wire.Meta{Kind: wire.KindCall, Attempt: 1, Deadline: issued[i].Add(time.Second), Issued: issued[i]}
						p.Publish("narrow", amqp.Publishing{
							Type: meta.Encode(), Expiration: "1000", ReplyTo: p.Queue, CorrelationId: fmt.Sprint(i),
						})
						time.Sleep(time.Second / time.Duration(load))
					}
				}()
				good, shed := 0, 0
				for range total {
					d := p.Next()
					i, _ := strconv.Atoi(d.CorrelationId)
					if took := time.Since(issued[i]); took > 600*time.Millisecond { // by which of two comes first, at one instant
						r.T.Fatalf("request %d was answered after %v: %s", i, took, d.Type)
					}
					meta, err := wire.DecodeMeta(d.Type)
					if err != nil {
						r.T.Fatal(err)
					}
					if meta.Code == 0 {
						good++
						continue
					}
					shed++
					if meta.Code != warren.CodeResourceExhausted || meta.Reason != warren.ReasonOverloaded || meta.Outcome != warren.NotExecuted ||
						meta.RetryAfter < 100*time.Millisecond || meta.RetryAfter > 10*time.Second {
						r.T.Errorf("%+v", meta)
					}
				}
				if st := s.Stats(); good < 5*190 || st.Shed != uint64(shed) || st.Rejected != st.Shed || st.Handled != uint64(good) {
					r.T.Errorf("%d good, %d shed; %+v", good, shed, st)
				}
			})
		})
	}
}

func TestNothingIsShedOfWhatCanWait(t *testing.T) {
	for name, test := range map[string]struct {
		method  server.Method
		replies bool
	}{
		"a line within the target": {server.Method{
			Name: "q", Concurrency: 2, Prefetch: 4, Admission: server.Admission{Target: time.Second},
		}, true},
		"notifications":     {narrow("q"), false},
		"without admission": {server.Method{Name: "q", Concurrency: 2, Prefetch: 4}, true},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				s := r.Serve(test.method, tenMilliseconds)
				p := r.Peer()
				for i := range 150 { // 0.75 s
					msg := amqp.Publishing{CorrelationId: fmt.Sprint(i)}
					if test.replies {
						msg.ReplyTo = p.Queue
					}
					p.Publish("q", msg)
				}
				time.Sleep(5 * time.Second)
				if st := s.Stats(); st.Shed != 0 || st.Handled != 150 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

// Bounds and the deadline come before admission, the body's decoding after it.
func TestShedRequestsHavePassedBoundsAndDeadlineAndNothingElse(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer()
		intercepted := 0
		m := narrow("typed")
		m.Concurrency, m.Prefetch = 1, 1
		m.Interceptors = []warren.Interceptor{func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				intercepted++
				return next(ctx, req)
			}
		}}
		err := server.Handle(s, m, func(_ context.Context, n int) (int, error) {
			time.Sleep(47 * time.Millisecond) // out of step with the looks at the line, which would find no handler at work
			return n, nil
		})
		if err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		p := r.Peer()
		late := wire.Meta{Kind: wire.KindCall, Attempt: 1, Deadline: time.Now(), Issued: time.Now()}
		kinds := map[string]amqp.Publishing{
			"good":        {Body: []byte("1")},
			"malformed":   {Type: "warren/2"},
			"expired":     {Type: late.Encode(), Body: []byte("1")},
			"undecodable": {Body: []byte("x")},
		}
		const each = 50
		for range each {
			for kind, msg := range kinds {
				msg.ReplyTo, msg.CorrelationId = p.Queue, kind
				p.Publish("typed", msg)
			}
		}
		replies := map[string]int{}
		for range each * len(kinds) {
			d := p.Next()
			reason := ""
			for field := range strings.SplitSeq(d.Type, ";") {
				if value, ok := strings.CutPrefix(field, "r="); ok {
					reason = value
				}
			}
			if reason == warren.ReasonOverloaded && !strings.Contains(d.Type, ";o=not_executed;w=") {
				r.T.Errorf("reply of type %s", d.Type)
			}
			replies[d.CorrelationId+" "+reason]++
		}
		if replies["malformed bad_request"] != each || replies["expired expired"] != each ||
			replies["undecodable overloaded"] == 0 || replies["good overloaded"] == 0 ||
			intercepted != replies["good "]+replies["undecodable malformed_body"] {
			r.T.Errorf("%v; %d intercepted", replies, intercepted)
		}
	})
}

func TestShedRequestThatWasDeliveredBeforeIsOfUnknownOutcome(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		first := manual(r, server.Method{Name: "narrow", Concurrency: 1, Prefetch: 200}, rig.NewGate().Handle)
		p := r.Peer()
		for range 200 {
			p.Publish("narrow", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "1"})
		}
		synctest.Wait()
		_ = stopWithin(r, first, 0)
		s := r.Serve(narrow("narrow"), tenMilliseconds)
		unknown := 0
		for range 200 {
			if d := p.Next(); strings.Contains(d.Type, "r=overloaded;o=unknown") {
				unknown++
			}
		}
		if st := s.Stats(); unknown == 0 || st.Shed != uint64(unknown) {
			r.T.Errorf("%d unknown, %+v", unknown, st)
		}
	})
}

// A method that has nothing to do costs the broker nothing.
func TestIdleMethodIsNotMeasured(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(narrow("narrow"), tenMilliseconds)
		before := len(r.Broker.Events(amqptest.When{Method: "queue.declare", Queue: "narrow"}))
		time.Sleep(time.Minute)
		if n := len(r.Broker.Events(amqptest.When{Method: "queue.declare", Queue: "narrow"})); n != before {
			r.T.Errorf("%d measurements", n-before)
		}
	})
}

// A queue that is gone, a broker that does not answer, and a connection that is
// cut leave the method to be served without admission until they are over.
func TestAdmissionSurvivesWhatHappensToItsMeasurements(t *testing.T) {
	for name, fault := range map[string]amqptest.Action{
		"not answered": amqptest.Drop(), "channel closed": amqptest.CloseChannel(404, "gone"), "cut": amqptest.SeverBefore(),
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				s := r.Serve(narrow("narrow"), tenMilliseconds)
				r.Broker.Inject(amqptest.Rule{When: amqptest.When{Method: "queue.declare", Queue: "narrow"}, Do: fault})
				p := r.Peer()
				publish := func() {
					for range 200 {
						p.Publish("narrow", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "1"})
					}
				}
				publish()
				time.Sleep(30 * time.Second)
				before := s.Stats().Shed
				publish()
				time.Sleep(30 * time.Second)
				if st := s.Stats(); st.Shed == before || r.Queue("narrow").Ready+r.Queue("narrow").Unacked != 0 {
					r.T.Errorf("%d shed before, %+v", before, st)
				}
			})
		})
	}
}
