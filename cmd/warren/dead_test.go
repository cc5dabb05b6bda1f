package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rabbit"
)

const (
	deadMethod    = "orders.place"
	deadQueueName = deadMethod + ".dead"
)

// parkedMessage is a call as a server parks it.
func parkedMessage(id string) amqp.Publishing {
	meta := wire.Meta{Kind: wire.KindCall, Attempt: 3, Deadline: time.UnixMilli(1_700_000_010_000), Issued: time.UnixMilli(1_700_000_000_000)}
	return amqp.Publishing{
		CorrelationId: id, ReplyTo: "warren:of-" + id, Type: meta.Encode(), ContentType: "application/json",
		ContentEncoding: "identity", DeliveryMode: amqp.Persistent, Priority: 3, MessageId: "m-" + id, AppId: "checkout",
		Timestamp: time.Unix(1_700_000_000, 0), Body: []byte(`{"id":"` + id + `"}`),
		Headers: amqp.Table{
			"tenant": "7", "count": int32(2), "nested": amqp.Table{"list": []any{"a", true}},
			wire.DeadReason: "poisoned", wire.DeadAttempts: "5", wire.DeadError: "panic: boom", wire.DeadIncident: "inc-" + id,
			wire.DeadAt: "2026-01-02T03:04:05Z", wire.DeadMethod: deadMethod,
		},
	}
}

// deadSite is a broker with a dead queue.
type deadSite struct {
	url string
	ch  *amqp.Channel
}

// parkCalls declares the queues of the method and parks these calls.
func parkCalls(t testing.TB, url string, messages ...amqp.Publishing) *deadSite {
	t.Helper()
	ch := channelTo(t, url)
	for _, queue := range []string{deadMethod, deadQueueName} {
		if _, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "classic"}); err != nil {
			t.Fatal(err)
		}
	}
	s := &deadSite{url, ch}
	for i := range messages {
		s.park(t, &messages[i])
	}
	return s
}

// channelTo opens a channel with confirms.
func channelTo(t testing.TB, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func (s *deadSite) park(t testing.TB, msg *amqp.Publishing) {
	t.Helper()
	confirm, err := s.ch.PublishWithDeferredConfirm("", deadQueueName, true, false, *msg)
	if err != nil || !confirm.Wait() {
		t.Fatalf("not parked: %v", err)
	}
}

// numbered returns calls with the IDs call-1 to call-n.
func numbered(n int) []amqp.Publishing {
	var messages []amqp.Publishing
	for i := range n {
		messages = append(messages, parkedMessage(fmt.Sprintf("call-%d", i+1)))
	}
	return messages
}

// drain takes all that is in a queue.
func (s *deadSite) drain(t testing.TB, queue string) []amqp.Delivery {
	t.Helper()
	var list []amqp.Delivery
	for {
		d, ok, err := s.ch.Get(queue, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return list
		}
		list = append(list, d)
	}
}

func callIDs(list []amqp.Delivery) string {
	var ids []string
	for i := range list {
		ids = append(ids, list[i].CorrelationId)
	}
	return strings.Join(ids, " ")
}

// wantIDs demands what is in the two queues, and empties them.
func (s *deadSite) wantIDs(t testing.TB, dead, sent string) {
	t.Helper()
	if got := callIDs(s.drain(t, deadQueueName)); got != dead {
		t.Errorf("parked are %q, want %q", got, dead)
	}
	if got := callIDs(s.drain(t, deadMethod)); got != sent {
		t.Errorf("sent were %q, want %q", got, sent)
	}
}

// deadBrokers runs a test against the broker in memory and against RabbitMQ.
func deadBrokers(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("amqptest", func(t *testing.T) {
		t.Parallel()
		test(t, amqptest.New(t, amqptest.Options{}).URL())
	})
	t.Run("RabbitMQ", func(t *testing.T) {
		t.Parallel()
		test(t, rabbit.VHost(t))
	})
}

func TestDeadListLeavesEveryCallInItsPlace(t *testing.T) {
	t.Parallel()
	deadBrokers(t, func(t *testing.T, url string) {
		s := parkCalls(t, url, numbered(12)...)
		for _, limit := range []string{"5", "100", "1", "100"} {
			object := invoke(t, url, "dead", "list", "--json", "--limit", limit, deadMethod).want(t, 0).object(t)
			wantKeys(t, object, "method", "total", "calls")
			calls, _ := object["calls"].([]any)
			if object["total"] != 12.0 || fmt.Sprint(min(12, len(calls))) != map[string]string{"5": "5", "100": "12", "1": "1"}[limit] {
				t.Fatalf("with --limit %s: %v", limit, object)
			}
			for i, call := range calls {
				call, _ := call.(map[string]any)
				wantKeys(t, call, "call_id", "attempts", "at", "reason", "error", "incident", "size")
				id := fmt.Sprintf("call-%d", i+1)
				if call["call_id"] != id || call["attempts"] != 5.0 || call["reason"] != "poisoned" || call["error"] != "panic: boom" ||
					call["incident"] != "inc-"+id || call["at"] != "2026-01-02T03:04:05Z" || call["size"] != float64(len(parkedMessage(id).Body)) {
					t.Errorf("call %d is %v", i, call)
				}
			}
		}
		for i, d := range s.drain(t, deadQueueName) {
			want := parkedMessage(fmt.Sprintf("call-%d", i+1))
			if got := published(&d); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("call %d has become\n%v; it was\n%v", i, got, want)
			}
		}
	})
}

// published is what a delivery was published as.
func published(d *amqp.Delivery) amqp.Publishing {
	return amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body,
	}
}

func TestDeadListForPeople(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	hostile := parkedMessage("call-2")
	hostile.Headers[wire.DeadError] = "two\nlines \x1b[31m"
	s := parkCalls(t, b.URL(), parkedMessage("call-1"), hostile)
	r := invoke(t, b.URL(), "dead", "list", deadMethod).want(t, 0)
	lines := strings.Split(r.stdout.String(), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "CALL ID  ATTEMPTS  PARKED AT") || r.said() != "" ||
		strings.Join(strings.Fields(lines[1]), " ") != "call-1 5 2026-01-02T03:04:05Z poisoned 15 panic: boom" ||
		!strings.HasSuffix(lines[2], `two\nlines \x1b[31m`) || strings.Contains(r.stdout.String(), `"id"`) {
		t.Errorf("%q, standard error %q", lines, r.stderr.String())
	}
	if told := invoke(t, b.URL(), "dead", "list", "--limit", "1", deadMethod).want(t, 0).wantLine(t); !strings.Contains(told, "1 of 2 calls") {
		t.Errorf("standard error: %q", told)
	}
	s.drain(t, deadQueueName)
	r = invoke(t, b.URL(), "dead", "list", deadMethod).want(t, 0)
	if told := r.wantLine(t); r.stdout.String() != "" || !strings.Contains(told, "no call of orders.place is parked") {
		t.Errorf("%q, standard error %q", r.stdout.String(), told)
	}
}

func TestDeadShowTellsAllOfACall(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	binary := parkedMessage("binary")
	binary.Body, binary.ContentType = append([]byte{0xff, 0}, make([]byte, 100)...), ""
	plain := amqp.Publishing{Body: []byte("30"), ReplyTo: "amq.gen-1"}
	s := parkCalls(t, b.URL(), parkedMessage("call-1"), binary, plain, parkedMessage("call-1"))
	show := func(args ...string) *tool { return invoke(t, b.URL(), append([]string{"dead", "show"}, args...)...) }

	twice := show("--json", deadMethod, "call-1").want(t, 0).stdout.String()
	first, second, _ := strings.Cut(twice, "\n")
	if first+"\n" != second {
		t.Errorf("the two calls of one ID are shown as %q", twice)
	}
	for _, want := range []string{
		`"body":{"id":"call-1"}`, `"headers":{"count":2,"nested":{"list":["a",true]},"tenant":"7"}`, `"reply_to":"warren:of-call-1"`,
		`"deadline":"2023-11-14T22:13:30Z"`, `"issued":"2023-11-14T22:13:20Z"`, `"caller":"checkout"`, `"reason":"poisoned"`,
	} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in %s", want, first)
		}
	}
	object := show("--json", deadMethod, "binary").want(t, 0).object(t)
	if body, _ := object["body_base64"].(string); !strings.HasPrefix(body, "/wAA") || object["size"] != 102.0 || object["body"] != nil {
		t.Errorf("the call is %v", object)
	}
	if out := show(deadMethod, "binary").want(t, 0).stdout.String(); !strings.Contains(out, "\nff 00 00") || !strings.Contains(out, "102 bytes") {
		t.Errorf("the call is %s", out)
	}
	out := show(deadMethod, "").want(t, 0).stdout.String()
	if !strings.Contains(out, "reply to  amq.gen-1\n") || !strings.HasSuffix(out, "\n\n30\n") {
		t.Errorf("the call is %s", out)
	}
	if line := show(deadMethod, "nobody").want(t, exitInternal).wantLine(t); !strings.Contains(line, `"nobody"`) {
		t.Errorf("standard error: %q", line)
	}
	s.wantIDs(t, "call-1 binary  call-1", "")
}

// sentAgain is what a replay makes of a parked call.
func sentAgain(msg amqp.Publishing) amqp.Publishing {
	meta := wire.Meta{Kind: wire.KindCall, Attempt: 3, Issued: time.UnixMilli(1_700_000_000_000)}
	msg.Type = meta.Encode()
	msg.Headers = maps.Clone(msg.Headers)
	maps.DeleteFunc(msg.Headers, func(name string, _ any) bool { return strings.HasPrefix(name, deadHeaders) })
	msg.Headers[wire.ReplayMark] = "inc-" + msg.CorrelationId
	return msg
}

func TestDeadReplaySendsTheCallAsItCame(t *testing.T) {
	t.Parallel()
	deadBrokers(t, func(t *testing.T, url string) {
		dressed := parkedMessage("call-2")
		dressed.DeliveryMode = amqp.Transient
		dressed.Headers["x-death"] = []any{amqp.Table{"count": int64(3)}}
		dressed.Headers["x-delivery-count"] = int64(9)
		dressed.Headers["x-first-death-queue"] = "elsewhere"
		dressed.Headers["CC"] = []any{deadQueueName} // sent with it, a copy would be parked
		s := parkCalls(t, url, parkedMessage("call-1"), dressed, parkedMessage("call-3"))
		object := invoke(t, url, "dead", "replay", "--json", deadMethod, "call-2").want(t, 0).object(t)
		wantKeys(t, object, "method", "replayed", "skipped", "left")
		if object["replayed"] != 1.0 || object["left"] != 2.0 || object["skipped"] != 0.0 {
			t.Errorf("replay says %v", object)
		}
		sent := s.drain(t, deadMethod)
		if len(sent) != 1 {
			t.Fatalf("%d messages were sent", len(sent))
		}
		want := sentAgain(parkedMessage("call-2"))
		if got := published(&sent[0]); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("it was sent as\n%v, want\n%v", got, want)
		}
		s.wantIDs(t, "call-1 call-3", "")
	})
}

func TestDeadReplayAndDropTakeWhatTheyAreTold(t *testing.T) {
	t.Parallel()
	deadBrokers(t, func(t *testing.T, url string) {
		for _, c := range []struct{ args, out, dead, sent string }{
			{"replay --all", "replayed 4 calls of orders.place, 0 left\n", "", "call-1 call-2 call-3 call-4"},
			{"replay --all --limit 3", "replayed 3 calls of orders.place, 1 left\n", "call-4", "call-1 call-2 call-3"},
			{"replay orders.place call-3", "replayed 1 call of orders.place, 3 left\n", "call-1 call-2 call-4", "call-3"},
			{"drop --yes --all", "dropped 4 calls of orders.place, 0 left\n", "", ""},
			{"drop --yes --all --limit 3", "dropped 3 calls of orders.place, 1 left\n", "call-4", ""},
			{"drop -y orders.place call-2", "dropped 1 call of orders.place, 3 left\n", "call-1 call-3 call-4", ""},
		} {
			s := parkCalls(t, url, numbered(4)...)
			args := append([]string{"dead"}, strings.Fields(c.args)...)
			if slices.Contains(args, "--all") {
				args = append(args, deadMethod)
			}
			if out := invoke(t, url, args...).want(t, 0).stdout.String(); out != c.out {
				t.Errorf("%s: %q", c.args, out)
			}
			s.wantIDs(t, c.dead, c.sent)
		}
		for _, args := range [][]string{{"replay"}, {"drop", "--yes"}} {
			s := parkCalls(t, url, numbered(2)...)
			r := invoke(t, url, append(append([]string{"dead"}, args...), deadMethod, "call-9")...).want(t, exitInternal)
			if line := r.wantLine(t); !strings.Contains(line, `"call-9"`) {
				t.Errorf("standard error: %q", line)
			}
			s.wantIDs(t, "call-1 call-2", "")
			if out := invoke(t, url, append(append([]string{"dead"}, args...), "--all", deadMethod)...).want(t, 0).stdout.String(); !strings.Contains(out, "0 calls") {
				t.Errorf("of nothing: %q", out)
			}
		}
	})
}
