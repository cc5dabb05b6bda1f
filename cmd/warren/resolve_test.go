package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
)

// answerResolves answers the questions about a method's calls: each with the
// resolution of its call ID; those it does not know stay unanswered. It hands on
// what was asked.
func answerResolves(t *testing.T, url, method string, answers map[string]wire.Resolution) <-chan wire.Resolve {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	queue := wire.ControlQueue(method)
	if _, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "classic"}); err != nil {
		t.Fatal(err)
	}
	questions, err := ch.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan wire.Resolve, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d := range questions {
			req, question, err := wire.DecodeResolve(&d, method, wire.DefaultLimits())
			if err != nil {
				continue
			}
			asked <- question
			if r, ok := answers[question.CallID]; ok {
				reply := &warren.Reply{ContentType: "application/json", Body: wire.EncodeResolution(r)}
				_ = ch.PublishWithContext(context.Background(), "", d.ReplyTo, false, false,
					wire.EncodeReply(req, reply, wire.Transient, wire.DefaultLimits()))
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return asked
}

func TestResolvePrintsWhatBecameOfACall(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	failure := &warren.Error{Code: warren.CodeNotFound, Reason: "no_such_user", Outcome: warren.Executed, Message: "there is no user 7"}
	asked := answerResolves(t, b.URL(), deadMethod, map[string]wire.Resolution{
		"json": {State: wire.StateCompleted, Outcome: warren.Executed, Retained: true, Reply: &warren.Reply{
			ContentType: "application/json", Body: []byte(`{"a":[1,2.50]}`),
		}},
		"binary":  {State: wire.StateCompleted, Outcome: warren.Executed, Retained: true, Reply: &warren.Reply{Body: []byte{0xff}}},
		"large":   {State: wire.StateCompleted, Outcome: warren.Executed},
		"failed":  {State: wire.StateFailed, Outcome: warren.Executed, Retained: true, Err: failure},
		"running": {State: wire.StateInProgress},
		"gone":    {State: wire.StateCanceled, Outcome: warren.NotExecuted},
	})
	for id, c := range map[string]struct{ json, text string }{
		"json":   {`{"state":"completed","outcome":"executed","retained":true,"body":{"a":[1,2.50]},"call_id":"json","ms":`, "completed, executed\n\n{\"a\":[1,2.50]}\n"},
		"binary": {`{"state":"completed","outcome":"executed","retained":true,"body_base64":"/w==","call_id":"binary","ms":`, "completed, executed\n\nff\n"},
		"large":  {`{"state":"completed","outcome":"executed","retained":false,"call_id":"large","ms":`, "completed, executed: what it ended with was too large to keep\n"},
		"failed": {
			`{"state":"failed","outcome":"executed","retained":true,"error":{"code":"not_found","reason":"no_such_user","outcome":"executed",` +
				`"message":"there is no user 7"},"call_id":"failed","ms":`,
			"failed, executed: orders.place: not_found/no_such_user (executed): there is no user 7\n",
		},
		"running": {`{"state":"in_progress","outcome":"unknown","call_id":"running","ms":`, "in_progress, unknown: it runs; ask again later\n"},
		"gone":    {`{"state":"canceled","outcome":"not_executed","call_id":"gone","ms":`, "canceled, not_executed: it will never run from here on\n"},
	} {
		r := invoke(t, b.URL(), "resolve", "--json", deadMethod, id).want(t, 0)
		if r.object(t); !strings.HasPrefix(r.stdout.String(), c.json) || r.said() != "" {
			t.Errorf("%s: %s, standard error %q", id, r.stdout.String(), r.stderr.String())
		}
		if q := <-asked; q.CallID != id || !q.Issued.IsZero() {
			t.Errorf("asked was %+v", q)
		}
		if out := invoke(t, b.URL(), "resolve", deadMethod, id).want(t, 0).stdout.String(); out != c.text {
			t.Errorf("%s: %q", id, out)
		}
		<-asked
	}
	for _, issued := range []string{"2023-11-14T22:13:20.5Z", "2023-11-14T23:13:20.5+01:00", "1700000000500"} {
		invoke(t, b.URL(), "resolve", "--issued", issued, deadMethod, "gone").want(t, 0)
		if q := <-asked; q.Issued.UnixMilli() != 1_700_000_000_500 {
			t.Errorf("%s is asked as %v", issued, q.Issued)
		}
	}
	proof := warren.ProofOf("text/plain", "gzip", []byte("hi"))
	for _, c := range []struct {
		args []string
		want warren.Proof
	}{
		{nil, warren.ProofOf("", "", nil)},
		{[]string{"--body", "hi"}, warren.ProofOf("", "", []byte("hi"))},
		{[]string{"--body", "hi", "--content-type", "text/plain", "--content-encoding", "gzip"}, proof},
		{[]string{"--proof", proof.String()}, proof},
	} {
		invoke(t, b.URL(), append([]string{"resolve", deadMethod, "gone"}, c.args...)...).want(t, 0)
		if q := <-asked; q.Proof != c.want {
			t.Errorf("%v is asked with the proof %v; want %v", c.args, q.Proof, c.want)
		}
	}
}

// What a call prints when its end is not known is what a question needs.
func TestFailureOfACallHasWhatAQuestionNeeds(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	asked := answerResolves(t, b.URL(), deadMethod, map[string]wire.Resolution{"k": {State: wire.StateInProgress}})
	conn, err := amqp.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(deadMethod, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	failure := invoke(t, b.URL(), "call", deadMethod, "hi", "--id", "k", "--wait", "--json", "--timeout", "1s").want(t, exitDeadline).object(t)
	issued, ok := failure["issued"].(float64)
	if !ok || failure["proof"] != warren.ProofOf("", "", []byte("hi")).String() {
		t.Fatalf("%v", failure)
	}
	invoke(t, b.URL(), "resolve", deadMethod, "k", "--proof", fmt.Sprint(failure["proof"]), "--issued", fmt.Sprintf("%.0f", issued)).want(t, 0)
	if q := <-asked; q.Proof != warren.ProofOf("", "", []byte("hi")) || q.Issued.UnixMilli() != int64(issued) {
		t.Errorf("asked was %+v", q)
	}
}

func TestResolveExitCodes(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	answerResolves(t, b.URL(), deadMethod, nil)
	const unreachable = "amqp://guest:s3cr3t@127.0.0.1:1/"
	for _, c := range []struct {
		url    string
		args   []string
		code   int
		reason string
	}{
		{b.URL(), []string{"nobody", "x"}, exitNoServer, "no_route"},
		{b.URL(), []string{deadMethod, "x", "--timeout", "3s"}, exitDeadline, ""},
		{unreachable, []string{deadMethod, "x", "--timeout", "300ms"}, exitBroker, "not_connected"},
	} {
		args := append([]string{"resolve"}, c.args...)
		if line := invoke(t, c.url, args...).want(t, c.code).wantLine(t); strings.Contains(line, "s3cr3t") {
			t.Errorf("standard error: %q", line)
		}
		object := invoke(t, c.url, append(args, "--json")...).want(t, c.code).object(t)
		if object["ok"] != false || object["outcome"] == "executed" || object["call_id"] != "x" || object["reason"] != c.reason {
			t.Errorf("%v: %v", c.args, object)
		}
	}
	for _, args := range [][]string{
		{}, {"m"}, {"m", "c", "x"}, {"a/b", "c"}, {"m", ""}, {"m", "\x01"}, {"m", "c", "--issued", "yesterday"}, {"m", "c", "--issued", ""},
		{"m", "c", "--issued", "0"}, {"m", "c", "--issued", "253402300800000"}, {"m", "c", "--timeout", "0s"}, {"m", "c", "--proof", "x"}, {"m", "c", "--proof", ""},
		{"m", "c", "--proof", strings.Repeat("0", 32), "--body", "x"}, {"m", "c", "--timeout", "25h"},
	} {
		invoke(t, "", append([]string{"resolve"}, args...)...).want(t, exitUsage).wantLine(t)
	}
}

func TestResolveMakesAnOutcomeCertain(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	// By its clock the store was made a minute before.
	st := memstore.New(memstore.Options{Now: func() time.Time { return time.Now().Add(-time.Minute) }})
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{b.URL()}}, Store: st})
	if err != nil {
		t.Fatal(err)
	}
	err = s.HandleRaw(server.Method{Name: deadMethod}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		return &warren.Reply{Body: req.Body}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = st.Close()
	})
	patience.Eventually(t, "questions are answered", func() bool {
		q, _ := b.Queue("/", wire.ControlQueue(deadMethod))
		return q.Consumers > 0
	})
	invoke(t, b.URL(), "call", "--id", "ran", "--wait", deadMethod, "hello").want(t, 0)
	object := invoke(t, b.URL(), "resolve", "--json", "--body", "hello", deadMethod, "ran").want(t, 0).object(t)
	if object["state"] != "completed" || object["outcome"] != "executed" || object["body"] != "hello" {
		t.Errorf("the call that ran is %v", object)
	}
	object = invoke(t, b.URL(), "resolve", "--json", deadMethod, "ran").want(t, exitRemote).object(t)
	if object["reason"] != "not_proven" || object["outcome"] != "unknown" {
		t.Errorf("who does not know the call is told %v", object)
	}
	issued := fmt.Sprint(time.Now().UnixMilli())
	object = invoke(t, b.URL(), "resolve", "--json", "--body", "hello", "--issued", issued, deadMethod, "never").want(t, 0).object(t)
	if object["state"] != "canceled" || object["outcome"] != "not_executed" {
		t.Errorf("the call that never came is %v", object)
	}
	object = invoke(t, b.URL(), "call", "--json", "--id", "never", deadMethod, "hello").want(t, exitRemote).object(t)
	if object["code"] != "canceled" || object["outcome"] != "not_executed" {
		t.Errorf("the call comes after all, and ends with %v", object)
	}
}
