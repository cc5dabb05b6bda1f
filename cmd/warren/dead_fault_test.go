package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestDeadReplayRemovesNothingThatTheBrokerHasNotTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault      string
		code       int
		says       string
		dead, sent string
	}{
		"returned":           {"basic.publish key=orders.place: return", exitNoServer, "there is no queue", "call-1 call-2 call-3", ""},
		"returned second":    {"basic.publish key=orders.place nth=2: return", exitNoServer, "there is no queue", "call-2 call-3", "call-1"},
		"nacked":             {"basic.publish key=orders.place: nack", exitBroker, "refuses", "call-1 call-2 call-3", ""},
		"never confirmed":    {"basic.publish key=orders.place: never-confirm", exitDeadline, "not answered within 3s", "call-1 call-2 call-3", "call-1"},
		"not executed":       {"basic.publish key=orders.place: sever-before", exitBroker, "", "call-1 call-2 call-3", ""},
		"executed, and lost": {"basic.publish key=orders.place: sever-after", exitBroker, "", "call-1 call-2 call-3", "call-1"},
		"acknowledgement":    {"basic.ack: sever-before", exitBroker, "", "call-1 call-2 call-3", "call-1"},
		"refused":            {"basic.publish key=orders.place: close-channel 403 no", exitBroker, "ACCESS_REFUSED", "call-1 call-2 call-3", ""},
		"get unanswered":     {"basic.get nth=2: drop", exitDeadline, "not answered", "call-2 call-3", "call-1"},
		"queue gone":         {"queue.declare: close-channel 404 no", exitNoServer, "parks its calls", "call-1 call-2 call-3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := amqptest.New(t, amqptest.Options{})
			s := parkCalls(t, b.URL(), numbered(3)...)
			rule, err := amqptest.ParseRule(c.fault)
			if err != nil {
				t.Fatal(err)
			}
			rule.When.ConnName = "warren dead replay"
			if rule.When.Method == "basic.ack" {
				rule.When.Direction = amqptest.FromClient
			}
			fault := b.Inject(rule)
			r := invoke(t, b.URL(), "dead", "replay", "--json", "--timeout", "3s", "--all", deadMethod).want(t, c.code)
			if line := r.wantLine(t); !strings.Contains(line, c.says) {
				t.Errorf("standard error: %q", line)
			}
			if fault.Fired() != 1 {
				t.Errorf("the fault was met %d times", fault.Fired())
			}
			if object := r.stdout.String(); c.dead != "call-1 call-2 call-3" && !strings.Contains(object, `"replayed":1,"skipped":0,"left":2`) {
				t.Errorf("replay says %s", object)
			}
			patience.Eventually(t, "the calls are back", func() bool {
				q, _ := b.Queue("/", deadQueueName)
				return q.Unacked == 0
			})
			s.wantIDs(t, c.dead, c.sent)
		})
	}
}

// It may be killed at any event between it and the broker: no call is lost, and
// those that were not sent are parked.
func TestDeadCommandsAreKilledWithoutLoss(t *testing.T) {
	t.Parallel()
	const calls = 2
	for _, line := range []string{"list", "show call-1", "replay --all", "drop --yes call-1"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(line)
			for n, killed := 1, true; killed; n++ {
				b := amqptest.New(t, amqptest.Options{})
				s := parkCalls(t, b.URL(), numbered(calls)...)
				args := []string{"dead"}
				for _, word := range words {
					if strings.HasPrefix(word, "call-") {
						args = append(args, deadMethod)
					}
					args = append(args, word)
				}
				if !slices.Contains(args, deadMethod) {
					args = append(args, deadMethod)
				}
				r := command(b.URL(), args...)
				started := make(chan struct{})
				var hit atomic.Bool
				b.Inject(amqptest.Rule{
					When: amqptest.When{ConnName: "warren dead *", Method: "basic.*"}, Nth: n,
					Do: amqptest.Do(func(*amqptest.Event) {
						<-started
						hit.Store(true)
						_ = r.cmd.Process.Kill()
						<-r.done
					}),
				})
				r.start(t)
				close(started)
				r.wait(t)
				if killed = hit.Load(); !killed {
					r.want(t, 0)
				}
				patience.Eventually(t, "the broker knows that it has gone", func() bool { return len(b.Connections()) == 1 })
				dead, sent := callIDs(s.drain(t, deadQueueName)), callIDs(s.drain(t, deadMethod))
				for i := range calls {
					id := fmt.Sprintf("call-%d", i+1)
					isDropped := words[0] == "drop" && id == "call-1"
					if !isDropped && !strings.Contains(dead+" "+sent, id) {
						t.Errorf("killed at event %d: %s is lost; parked are %q, sent %q", n, id, dead, sent)
					}
				}
				if words[0] != "replay" && sent != "" || words[0] != "replay" && words[0] != "drop" && dead != "call-1 call-2" {
					t.Errorf("killed at event %d: parked are %q, sent %q", n, dead, sent)
				}
				if n > 30 {
					t.Fatal("it does not end")
				}
			}
		})
	}
}

// A call that ends its server again is parked again: that is not the same run's.
func TestDeadReplayEndsThoughCallsAreParkedAgain(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	s := parkCalls(t, b.URL(), numbered(3)...)
	conn, err := amqp.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ch.Consume(deadMethod, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The broker holds a confirm back until the call is parked again.
	parked := make(chan struct{}, 1)
	b.Inject(amqptest.Rule{
		When: amqptest.When{ConnName: "warren dead replay", Method: "basic.ack", Direction: amqptest.FromClient}, Times: amqptest.Always,
		Do: amqptest.Do(func(*amqptest.Event) { <-parked }),
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			d, ok := <-again
			if !ok {
				return
			}
			msg := published(&d)
			confirm, err := s.ch.PublishWithDeferredConfirm("", deadQueueName, true, false, msg)
			if err == nil {
				confirm.Wait()
			}
			parked <- struct{}{}
		}
	}()
	out := invoke(t, b.URL(), "dead", "replay", "--all", deadMethod).want(t, 0).stdout.String()
	if !strings.HasPrefix(out, "replayed 3 calls") {
		t.Errorf("replay says %q", out)
	}
	<-done
	s.wantIDs(t, "call-1 call-2 call-3", "")
}

func TestDeadReplayLeavesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	later, plain := parkedMessage("later"), amqp.Publishing{CorrelationId: "plain", Body: []byte("30"), ReplyTo: "q", Expiration: "3600000"}
	later.Type = "warren/2;k=call"
	s := parkCalls(t, b.URL(), parkedMessage("call-1"), later, plain)
	r := invoke(t, b.URL(), "dead", "replay", "--all", "--json", deadMethod).want(t, exitInternal)
	if object := r.object(t); object["replayed"] != 2.0 || object["skipped"] != 1.0 || object["left"] != 1.0 {
		t.Errorf("replay says %v", object)
	}
	if told := r.stderr.String(); !strings.Contains(told, `"later" stays parked`) || strings.Count(told, "\n") != 2 {
		t.Errorf("standard error: %q", told)
	}
	sent := s.drain(t, deadMethod)
	if callIDs(sent) != "call-1 plain" || sent[1].Expiration != "" || sent[1].Type != "" || len(sent[1].Headers) != 1 {
		t.Errorf("sent were %v", sent)
	}
	s.wantIDs(t, "later", "")
}

func TestDeadCommandsWithoutAQueueSaySo(t *testing.T) {
	t.Parallel()
	deadBrokers(t, func(t *testing.T, url string) {
		for _, args := range [][]string{{"list", "nobody"}, {"show", "nobody", "x"}, {"replay", "nobody", "x"}, {"drop", "--yes", "--all", "nobody"}} {
			if line := invoke(t, url, append([]string{"dead"}, args...)...).want(t, exitNoServer).wantLine(t); !strings.Contains(line, "nobody has no dead queue") {
				t.Errorf("standard error: %q", line)
			}
		}
		// There is a dead queue, and the method's own is gone.
		s := parkCalls(t, url, numbered(2)...)
		if _, err := s.ch.QueueDelete(deadMethod, false, false, false); err != nil {
			t.Fatal(err)
		}
		object := invoke(t, url, "dead", "replay", "--json", "--all", deadMethod).want(t, exitNoServer).object(t)
		if object["replayed"] != 0.0 || object["left"] != 2.0 {
			t.Errorf("replay says %v", object)
		}
		if got := callIDs(s.drain(t, deadQueueName)); got != "call-1 call-2" {
			t.Errorf("parked are %q", got)
		}
	})
}

func TestDeadCommandsTryAllBrokersAndTellNoPassword(t *testing.T) {
	t.Parallel()
	const unreachable = "amqp://user:s3cr3t@127.0.0.1:1/"
	b := amqptest.New(t, amqptest.Options{})
	parkCalls(t, b.URL(), numbered(1)...)
	invoke(t, unreachable+","+b.URL(), "dead", "list", deadMethod).want(t, 0)
	refused := rabbit.Shared(t).URLAs("guest", "s3cr3t", "/")
	var runs []*tool
	for _, url := range []string{unreachable, refused, refused + "," + unreachable} {
		runs = append(runs, command(url, "dead", "list", deadMethod).start(t))
	}
	for _, r := range runs {
		if line := r.wait(t).want(t, exitBroker).wantLine(t); strings.Contains(line, "s3cr3t") {
			t.Errorf("standard error: %q", line)
		}
	}
	// One that accepts and says nothing.
	b.Inject(amqptest.Rule{When: amqptest.When{Method: "connection.start"}, Do: amqptest.Drop()})
	began := time.Now()
	invoke(t, b.URL(), "dead", "list", "--timeout", "300ms", deadMethod).want(t, exitBroker).wantLine(t)
	if took := time.Since(began); took > patience.Soon/2 {
		t.Errorf("it took %v", took)
	}
}

func TestDeadDropAsksOnATerminalAlone(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	s := parkCalls(t, b.URL(), numbered(2)...)
	for _, stdin := range []string{"", "y\n"} {
		r := command(b.URL(), "dead", "drop", "--all", deadMethod)
		if stdin != "" {
			r.stdin = strings.NewReader(stdin)
		}
		if line := r.start(t).wait(t).want(t, exitUsage).wantLine(t); !strings.Contains(line, "give --yes") {
			t.Errorf("standard error: %q", line)
		}
	}
	if got := callIDs(s.drain(t, deadQueueName)); got != "call-1 call-2" {
		t.Errorf("parked are %q", got)
	}
}
