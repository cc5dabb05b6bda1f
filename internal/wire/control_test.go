package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// asked is a resolve request as a broker hands it out.
func asked(msg amqp.Publishing) *amqp.Delivery {
	d := deliver(msg)
	d.ReplyTo = "warren:x"
	return d
}

func TestResolveGoesThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[ -~]{1,128}`)
		sent := wire.Resolve{CallID: id.Draw(t, "call"), Issued: instants().Draw(t, "issued")}
		req := &wire.Request{Nonce: nonces().Draw(t, "nonce"), Request: warren.Request{
			Method: "orders.create", CallID: id.Draw(t, "id"), Attempt: rapid.IntRange(1, 5).Draw(t, "attempt"),
			Deadline: instants().Draw(t, "deadline"), Issued: instants().Draw(t, "now"),
			Caller: rapid.StringMatching(`[ -~]{0,255}`).Draw(t, "caller"), UserID: rapid.StringMatching(`[ -~]{0,255}`).Draw(t, "user"),
			Header: warren.Header{"x": "y"}, ContentType: "text/plain", Body: []byte("it does not travel"),
		}}
		msg, e := wire.EncodeResolve(req, sent)
		if e != nil {
			t.Fatal(e)
		}
		checkShortStrings(t, &msg)
		if _, err := wire.DecodeRequest(asked(msg), "orders.create", limits); !errors.Is(err, wire.ErrNotACall) {
			t.Fatalf("on the method's own queue it is %v", err)
		}
		got, r, err := wire.DecodeResolve(asked(msg), "orders.create", limits)
		if err != nil || r != sent {
			t.Fatalf("%+v arrives as %+v, %v", sent, r, err)
		}
		if got.Method != req.Method || got.CallID != req.CallID || got.Attempt != req.Attempt || got.Deadline != req.Deadline ||
			got.Issued != req.Issued || got.Nonce != req.Nonce || got.Caller != req.Caller || got.UserID != req.UserID || got.OneWay || got.Plain ||
			got.Body != nil || got.Header["x"] != "y" || len(got.Header) != 1 || got.ContentType != "" {
			t.Fatalf("%+v arrives as %+v", req, got)
		}
		reply, e := wire.DecodeReply(deliver(wire.EncodeReply(got, &warren.Reply{Body: []byte("{}")}, wire.Transient, limits)), req, limits)
		if e != nil || reply.CallID != req.CallID || reply.Attempts != req.Attempt {
			t.Fatalf("it is answered with %+v, %v", reply, e)
		}
	})
}

func TestResolveOutOfBoundsIsNotSent(t *testing.T) {
	t.Parallel()
	good := warren.Request{Method: "m", CallID: "1"}
	change := func(f func(*warren.Request)) *warren.Request { req := good; f(&req); return &req }
	for name, test := range map[string]struct {
		req *warren.Request
		r   wire.Resolve
	}{
		"method":         {change(func(r *warren.Request) { r.Method = "warren.control.m" }), wire.Resolve{CallID: "2"}},
		"correlation ID": {change(func(r *warren.Request) { r.CallID = "" }), wire.Resolve{CallID: "2"}},
		"caller":         {change(func(r *warren.Request) { r.Caller = strings.Repeat("c", 256) }), wire.Resolve{CallID: "2"}},
		"no call":        {&good, wire.Resolve{}},
		"call ID":        {&good, wire.Resolve{CallID: strings.Repeat("i", 129)}},
		"control":        {&good, wire.Resolve{CallID: "a\nb"}},
	} {
		if _, e := wire.EncodeResolve(&wire.Request{Request: *test.req}, test.r); e == nil || e.Reason != warren.ReasonBadRequest || e.Outcome != warren.NotExecuted {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestControlQueueIsNoMethods(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("m", warren.MaxMethod)
	if q := wire.ControlQueue(longest); q != "warren.control."+longest || len(q) > 255 || warren.CheckMethod(q) == nil {
		t.Errorf("%s", q)
	}
	if warren.CheckMethod(wire.ControlQueue("m")) == nil {
		t.Error("a control queue can be called")
	}
}

// FuzzDecodeResolve: nothing that a peer writes makes a server panic, and what it
// reads it can answer.
func FuzzDecodeResolve(f *testing.F) {
	for _, body := range []string{
		`{"call_id":"order 17","issued":1767225590000}`, `{"call_id":"7"}`, `{}`, `{"call_id":1}`, `[]`, ``, `{"call_id":"a","issued":-1}`,
		`{"call_id":"a","issued":1.5}`, `{"call_id":"\u0000"}`, `{"call_id":"a"} `, `{"call_id":"a"}{}`,
	} {
		f.Add("warren/1;k=resolve;n=1;d=1767225600000;t=1767225590000", "id", []byte(body))
	}
	f.Add("warren/1;k=call;n=1", "id", []byte(`{"call_id":"7"}`))
	f.Add("warren/2;k=resolve", "id", []byte(`{"call_id":"7"}`))
	f.Add("", "", []byte(nil))
	f.Fuzz(func(t *testing.T, typ, id string, body []byte) {
		d := &amqp.Delivery{Type: typ, CorrelationId: id, ReplyTo: "q", Body: body}
		req, r, err := wire.DecodeResolve(d, "m", limits)
		switch e, typed := warren.AsError(err); {
		case errors.Is(err, wire.ErrNotControl):
			if req != nil {
				t.Fatalf("dropped, and read as %+v", req)
			}
		case err != nil:
			if !typed || e.Outcome != warren.NotExecuted || req == nil || req.CallID != id || len(e.Message) > 400 {
				t.Fatalf("%+v, %+v, %v", req, r, err)
			}
		case warren.CheckCallID(r.CallID) != nil || warren.CheckCallID(req.CallID) != nil || len(body) > 1024:
			t.Fatalf("%+v, %+v", req, r)
		default:
			msg, e := wire.EncodeResolve(req, r)
			if e != nil {
				t.Fatal(e)
			}
			if _, again, err := wire.DecodeResolve(asked(msg), "m", limits); err != nil || again != r {
				t.Fatalf("%+v becomes %+v, %v", r, again, err)
			}
		}
	})
}

func TestControlMessagesThatNobodyCanAnswerAreDropped(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*amqp.Delivery){
		"no reply address": func(d *amqp.Delivery) { d.ReplyTo = "" },
		"a plain peer's":   func(d *amqp.Delivery) { d.Type = "" },
		"a call":           func(d *amqp.Delivery) { d.Type = "warren/1;k=call;n=1" },
		"a reply":          func(d *amqp.Delivery) { d.Type = "warren/1;k=reply;n=1" },
		"a cancel":         func(d *amqp.Delivery) { d.Type = "warren/1;k=cancel;n=1" },
	} {
		msg, e := wire.EncodeResolve(&wire.Request{Request: warren.Request{Method: "m", CallID: "1", Attempt: 1, Issued: time.Now()}}, wire.Resolve{CallID: "2"})
		if e != nil {
			t.Fatal(e)
		}
		d := asked(msg)
		change(d)
		if req, r, err := wire.DecodeResolve(d, "m", limits); !errors.Is(err, wire.ErrNotControl) || req != nil || r != (wire.Resolve{}) {
			t.Errorf("%s: %+v, %+v, %v", name, req, r, err)
		}
	}
}

// resolutions draws what servers may answer.
func resolutions() *rapid.Generator[wire.Resolution] {
	return rapid.Custom(func(t *rapid.T) wire.Resolution {
		r := wire.Resolution{
			State: rapid.SampledFrom([]string{
				wire.StateCompleted, wire.StateFailed, wire.StateInProgress, wire.StateCanceled,
			}).Draw(t, "state"),
			Retained: rapid.Bool().Draw(t, "retained"),
		}
		switch r.State {
		case wire.StateCompleted:
			r.Outcome = warren.Executed
			if r.Retained {
				r.Reply = &warren.Reply{
					ContentType: rapid.StringN(0, -1, 255).Draw(t, "type"), ContentEncoding: rapid.StringN(0, -1, 255).Draw(t, "encoding"),
					Header: warren.Header(rapid.MapOfN(rapid.StringMatching(`h[!-~]{0,20}`), rapid.String(), 0, 20).Draw(t, "header")),
					Body:   rapid.SliceOf(rapid.Byte()).Draw(t, "body"), Replayed: true,
				}
			}
		case wire.StateFailed:
			r.Outcome = warren.Outcome(rapid.IntRange(0, 2).Draw(t, "outcome"))
			if r.Retained {
				r.Err = failures().Draw(t, "error")
			}
		case wire.StateCanceled:
			r.Outcome, r.Retained = warren.Outcome(rapid.IntRange(0, 1).Draw(t, "outcome")), false
		default:
			r.Retained = false
		}
		return r
	})
}

func TestResolutionGoesThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := resolutions().Draw(t, "resolution")
		body := wire.EncodeResolution(sent)
		got, err := wire.DecodeResolution(body)
		if err != nil || got.State != sent.State || got.Outcome != sent.Outcome || got.Retained != sent.Retained ||
			(got.Reply == nil) != (sent.Reply == nil) || (got.Err == nil) != (sent.Err == nil) {
			t.Fatalf("%+v arrives as %+v, %v: %s", sent, got, err, body)
		}
		if got.Reply != nil && (!sameReply(got.Reply, sent.Reply) || !got.Reply.Replayed) {
			t.Fatalf("%+v arrives as %+v", sent.Reply, got.Reply)
		}
		if got.Err != nil {
			e := *sent.Err
			e.Outcome = sent.Outcome
			_, want := wire.DecodeReply(deliver(wire.EncodeError(call, &e, wire.Transient)), call, limits)
			if !sameError(got.Err, want) || !got.Err.Replayed || !got.Err.Remote {
				t.Fatalf("%+v arrives as %+v; as a reply it is %+v", sent.Err, got.Err, want)
			}
		}
	})
}

// The largest reply that a server may have stored reaches its caller this way too.
func TestLargestResolutionIsWithinItsBound(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 2, 3, 1000, limits.Body} {
		reply := &warren.Reply{
			ContentType: strings.Repeat("\xff", 255), ContentEncoding: strings.Repeat("\xff", 255), Header: warren.Header{},
			Body: make([]byte, most),
		}
		for i := range limits.Headers {
			key := fmt.Sprintf("%02d%s", i, strings.Repeat("\"", 126))
			reply.Header[key] = strings.Repeat("\xff", limits.HeaderBytes/limits.Headers-len(key))
		}
		if sent := wire.EncodeReply(call, reply, wire.Transient, wire.Limits{Body: most, Headers: 64, HeaderBytes: 16 << 10}); !strings.HasPrefix(sent.Type, "warren/1;k=reply;n=2") || strings.Contains(sent.Type, ";c=") {
			t.Fatalf("a server does not send it: %s", sent.Type)
		}
		body := wire.EncodeResolution(wire.Resolution{State: wire.StateCompleted, Reply: reply})
		got, err := wire.DecodeResolution(body)
		if err != nil || len(got.Reply.Body) != most || len(body) > wire.ResolutionBytes(most) {
			t.Errorf("%d bytes become %d; at most %d are allowed: %v", most, len(body), wire.ResolutionBytes(most), err)
		}
	}
}

// FuzzDecodeResolution: what is read can be written to the same effect, and claims
// nothing that contradicts its state.
func FuzzDecodeResolution(f *testing.F) {
	for _, body := range []string{
		`{"state":"completed","outcome":"executed","reply":{"content_type":"text/plain","header":{"a":"b"},"body":"aGk="},"retained":true}`,
		`{"state":"completed","outcome":"executed","retained":false}`, `{"state":"in_progress","outcome":"unknown","retained":false}`,
		`{"state":"failed","outcome":"executed","error":{"code":"not_found","reason":"gone","message":"no","details":{"a":"b"},"incident":"i","retry_after_ms":-1},"retained":true}`,
		`{"state":"canceled","outcome":"not_executed","retained":false}`, `{"state":"canceled","outcome":"executed"}`, `{}`, `null`, `[`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := wire.DecodeResolution(b)
		if err != nil {
			if r != (wire.Resolution{}) {
				t.Fatalf("refused, and read as %+v", r)
			}
			return
		}
		if r.Outcome == warren.Executed && r.State != wire.StateCompleted && r.State != wire.StateFailed ||
			r.Reply != nil && r.State != wire.StateCompleted || r.Err != nil && r.State != wire.StateFailed {
			t.Fatalf("%s is read as %+v", b, r)
		}
		once := wire.EncodeResolution(r)
		again, err := wire.DecodeResolution(once)
		if err != nil || string(wire.EncodeResolution(again)) != string(once) || again.State != r.State || again.Outcome != r.Outcome {
			t.Fatalf("%s is read as %+v and then as %+v, %v", b, r, again, err)
		}
	})
}
