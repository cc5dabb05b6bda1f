package wire_test

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

func requests() *rapid.Generator[*wire.Request] {
	return rapid.Custom(func(t *rapid.T) *wire.Request {
		return &wire.Request{Nonce: nonces().Draw(t, "nonce"), Request: warren.Request{
			Method:          rapid.StringMatching(`[A-Za-z0-9_-]{1,50}`).Draw(t, "method"),
			CallID:          rapid.StringMatching(`[ -~]{1,128}`).Draw(t, "call ID"),
			Attempt:         rapid.IntRange(1, 1_000_000).Draw(t, "attempt"),
			Deadline:        instants().Draw(t, "deadline"),
			Issued:          instants().Draw(t, "issued"),
			ContentType:     rapid.StringN(0, -1, 255).Draw(t, "content type"),
			ContentEncoding: rapid.StringN(0, -1, 255).Draw(t, "content encoding"),
			Header:          headers().Draw(t, "header"),
			Body:            rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
			Caller:          rapid.StringN(0, -1, 255).Draw(t, "caller"),
			UserID:          rapid.StringN(0, -1, 255).Draw(t, "user"),
		}}
	})
}

func TestRequestGoesThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := requests().Draw(t, "request")
		if err := wire.CheckRequest(&sent.Request, limits); err != nil {
			t.Fatal(err)
		}
		msg, failure := wire.EncodeRequest(sent, wire.Persistent, limits)
		if failure != nil {
			t.Fatal(failure)
		}
		checkShortStrings(t, &msg)
		if msg.DeliveryMode != wire.Persistent {
			t.Fatalf("the delivery mode is %d", msg.DeliveryMode)
		}
		d := deliver(msg)
		d.ReplyTo, d.Redelivered = "replies", true
		got, err := wire.DecodeRequest(d, sent.Method, limits)
		if err != nil {
			t.Fatal(err)
		}
		want := *sent
		want.Redelivered = true
		if !maps.Equal(got.Header, want.Header) || !bytes.Equal(got.Body, want.Body) {
			t.Fatalf("%+v arrives as %+v", want, got)
		}
		got.Header, got.Body, want.Header, want.Body = nil, nil, nil, nil
		if got.Nonce != want.Nonce || !sameFields(&got.Request, &want.Request) {
			t.Fatalf("%+v arrives as %+v", want, got)
		}
	})
}

// sameFields compares everything but header and body.
func sameFields(a, b *warren.Request) bool {
	return a.Method == b.Method && a.CallID == b.CallID && a.Attempt == b.Attempt && a.Deadline.Equal(b.Deadline) &&
		a.Issued.Equal(b.Issued) && a.ContentType == b.ContentType && a.ContentEncoding == b.ContentEncoding &&
		a.Caller == b.Caller && a.UserID == b.UserID && a.OneWay == b.OneWay && a.Plain == b.Plain && a.Redelivered == b.Redelivered
}

func TestPlainRequestIsServedAsItIs(t *testing.T) {
	t.Parallel()
	d := &amqp.Delivery{
		CorrelationId: "1", ReplyTo: "amq.gen-x", Type: "order", AppId: "shop", UserId: "bob", ContentType: "text/plain",
		ContentEncoding: "utf-8", Headers: amqp.Table{"n": int32(7)}, Body: []byte("30"),
	}
	req, err := wire.DecodeRequest(d, "fib", limits)
	want := &warren.Request{
		Method: "fib", CallID: "1", Attempt: 1, Caller: "shop", UserID: "bob", ContentType: "text/plain", ContentEncoding: "utf-8",
		Plain: true,
	}
	if err != nil || !sameFields(&req.Request, want) || req.Header["n"] != "7" || string(req.Body) != "30" {
		t.Fatalf("decoded as %+v, %v", req, err)
	}
	req, err = wire.DecodeRequest(&amqp.Delivery{}, "fib", limits)
	if err != nil || !sameFields(&req.Request, &warren.Request{Method: "fib", Attempt: 1, Plain: true, OneWay: true}) {
		t.Fatalf("an empty message is decoded as %+v, %v", req, err)
	}
}

func TestRequestOverTheBoundsIsNeverWritten(t *testing.T) {
	t.Parallel()
	good := warren.Request{Method: "m", CallID: "1", Attempt: 1}
	long := strings.Repeat("x", 256)
	for name, test := range map[string]struct {
		change func(*warren.Request)
		why    string
	}{
		"method empty":          {func(r *warren.Request) { r.Method = "" }, "method name is empty"},
		"method reserved":       {func(r *warren.Request) { r.Method = "warren.reply.x" }, "reserved"},
		"method too long":       {func(r *warren.Request) { r.Method = long }, "256 bytes"},
		"call ID too long":      {func(r *warren.Request) { r.CallID = long }, "256 bytes"},
		"call ID not printable": {func(r *warren.Request) { r.CallID = "a\x00" }, "byte 1"},
		"content type":          {func(r *warren.Request) { r.ContentType = long }, "content type has 256 bytes"},
		"content encoding":      {func(r *warren.Request) { r.ContentEncoding = long }, "content encoding has 256 bytes"},
		"caller":                {func(r *warren.Request) { r.Caller = long }, "caller's name has 256 bytes"},
		"user":                  {func(r *warren.Request) { r.UserID = long }, "user ID has 256 bytes"},
	} {
		req := good
		test.change(&req)
		failure := wire.CheckRequest(&req, limits)
		checkBadRequest(t, name, failure, test.why)
	}
	if err := wire.CheckRequest(&good, limits); err != nil {
		t.Errorf("a request within its bounds: %v", err)
	}
	large := good
	large.Body = make([]byte, limits.Body)
	if err := wire.CheckRequest(&large, limits); err != nil {
		t.Errorf("the largest body: %v", err)
	}
	large.Body = make([]byte, limits.Body+1)
	checkTooLarge(t, wire.CheckRequest(&large, limits))
	_, err := wire.DecodeRequest(&amqp.Delivery{Body: large.Body}, "m", limits)
	e, _ := warren.AsError(err)
	checkTooLarge(t, e)
}

func checkTooLarge(t *testing.T, err *warren.Error) {
	t.Helper()
	if err == nil || err.Code != warren.CodeResourceExhausted || err.Reason != warren.ReasonRequestTooLarge ||
		err.Outcome != warren.NotExecuted || !strings.Contains(err.Message, "1048577 bytes") {
		t.Errorf("a body that is too large is refused with %v", err)
	}
}

// A server answers what it refuses, so the request must be there to answer.
func TestRefusedRequestCanBeAnswered(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]*amqp.Delivery{
		"metadata":       {Type: "warren/1;k=call;n=x", CorrelationId: "1", ReplyTo: "q"},
		"version":        {Type: "warren/2;k=call", CorrelationId: "1", ReplyTo: "q"},
		"call ID":        {Type: "warren/1;k=call", CorrelationId: "a\nb" + strings.Repeat("x", 252), ReplyTo: "q"},
		"plain call ID":  {CorrelationId: "\xff", ReplyTo: "q"},
		"plain headers":  {CorrelationId: "1", ReplyTo: "q", Headers: amqp.Table{"h": []any{[]any{[]any{"x"}}}}},
		"warren headers": {Type: "warren/1;k=call", CorrelationId: "1", ReplyTo: "q", Headers: amqp.Table{"h": strings.Repeat("x", 1<<17)}},
	} {
		req, err := wire.DecodeRequest(d, "m", limits)
		e, ok := warren.AsError(err)
		if !ok || req == nil || e.Outcome != warren.NotExecuted {
			t.Errorf("%s: %+v, %v", name, req, err)
			continue
		}
		if req.Header != nil || req.Body != nil || req.Method != "m" || req.CallID != d.CorrelationId || req.OneWay {
			t.Errorf("%s: the request is %+v", name, req)
		}
		msg := wire.EncodeError(req, e, wire.Transient)
		checkShortStrings(t, &msg)
		if msg.CorrelationId != d.CorrelationId {
			t.Errorf("%s: the answer has the correlation ID %q", name, msg.CorrelationId)
		}
	}
}

// A reply on a method's queue would be answered, and its answer again.
func TestRepliesAndControlMessagesAreNotCalls(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"reply", "resolve", "cancel"} {
		req, err := wire.DecodeRequest(&amqp.Delivery{Type: "warren/1;k=" + kind, ReplyTo: "q", CorrelationId: "1"}, "m", limits)
		if req != nil || !errors.Is(err, wire.ErrNotACall) {
			t.Errorf("%s: %+v, %v", kind, req, err)
		}
	}
}

func TestExpirationIsAWholePositiveNumber(t *testing.T) {
	t.Parallel()
	for left, want := range map[time.Duration]string{
		0: "1", 1: "1", -1: "1", math.MinInt64: "1", time.Millisecond: "1", 2*time.Millisecond - 1: "1", time.Second: "1000",
		math.MaxInt64: "4000000000",
	} {
		if got := wire.Expiration(left); got != want {
			t.Errorf("%v is %q; want %q", left, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		left := time.Duration(rapid.Int64().Draw(t, "left"))
		text := wire.Expiration(left)
		ms, err := strconv.ParseUint(text, 10, 32)
		if err != nil || ms < 1 || text[0] == '+' {
			t.Fatalf("%v is %q: %v", left, text, err)
		}
		if left >= time.Millisecond && time.Duration(ms)*time.Millisecond > left {
			t.Fatalf("%v is %q, which is longer", left, text)
		}
	})
}

// FuzzDecodeRequest: whatever a stranger sends is a request within the bounds,
// an error that can be answered, or no call.
func FuzzDecodeRequest(f *testing.F) {
	f.Add("warren/1;k=call;n=1;d=1700000000000", "id", "reply", "h", "v", []byte("body"))
	f.Add("", "", "", "", "", []byte(nil))
	f.Add("warren/1;k=reply", "\x00", "q", "x-death", "v", []byte{0xff})
	f.Add("warren/9", strings.Repeat("i", 200), "q", "CC", "v", []byte("{}"))
	f.Fuzz(func(t *testing.T, typ, callID, replyTo, key, value string, body []byte) {
		d := &amqp.Delivery{
			Type: typ, CorrelationId: callID, ReplyTo: replyTo, Body: body, AppId: value, ContentType: value,
			Headers: amqp.Table{key: value, "nested": amqp.Table{key: []any{value, body}}},
		}
		req, err := wire.DecodeRequest(d, "m", limits)
		if req == nil {
			if !errors.Is(err, wire.ErrNotACall) {
				t.Fatalf("nothing, with %v", err)
			}
			return
		}
		if err != nil {
			e, ok := warren.AsError(err)
			if !ok || e.Outcome != warren.NotExecuted || !e.Code.Valid() || warren.CheckReason(e.Reason) != nil {
				t.Fatalf("the error is %v", err)
			}
			msg := wire.EncodeError(req, e, wire.Transient)
			if _, told := wire.DecodeReply(deliver(msg), call, limits); !req.Plain && (told == nil || told.Code != e.Code) {
				t.Fatalf("%v is told as %v", e, told)
			}
			return
		}
		if req.Attempt < 1 || req.CallID != callID || req.OneWay != (replyTo == "") || len(req.Header) > limits.Headers {
			t.Fatalf("the request is %+v", req)
		}
		if _, found := req.Header["x-death"]; found {
			t.Fatalf("the broker's header is passed on: %v", req.Header)
		}
	})
}
