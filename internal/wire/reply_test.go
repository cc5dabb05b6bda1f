package wire_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

var (
	call  = &wire.Request{Request: warren.Request{Method: "m", CallID: "id", Attempt: 2}}
	plain = &wire.Request{Request: warren.Request{Method: "m", CallID: "1", Attempt: 1, Plain: true}}
)

func TestReplyGoesThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		req := rapid.SampledFrom([]*wire.Request{call, plain}).Draw(t, "request")
		sent := &warren.Reply{
			ContentType:     rapid.StringN(0, -1, 255).Draw(t, "content type"),
			ContentEncoding: rapid.StringN(0, -1, 255).Draw(t, "content encoding"),
			Header:          headers().Draw(t, "header"),
			Body:            rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
			Replayed:        rapid.Bool().Draw(t, "replayed"),
		}
		msg := wire.EncodeReply(req, sent, wire.Persistent, limits)
		checkShortStrings(t, &msg)
		if !strings.HasPrefix(msg.Type, "warren/1;k=reply;n=") {
			t.Fatalf("the type is %q: a server that gets it runs it", msg.Type)
		}
		got, err := wire.DecodeReply(deliver(msg), call, limits)
		if err != nil {
			t.Fatal(err)
		}
		if got.ContentType != sent.ContentType || got.ContentEncoding != sent.ContentEncoding || !maps.Equal(got.Header, sent.Header) ||
			!bytes.Equal(got.Body, sent.Body) || got.CallID != req.CallID || got.Plain ||
			got.Replayed != sent.Replayed || msg.DeliveryMode != wire.Persistent {
			t.Fatalf("%+v arrives as %+v", sent, got)
		}
	})
}

// A handler ran: whatever its reply looks like, nobody may believe that it did
// not.
func TestReplyThatCannotBeSentSaysExecuted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply  *warren.Reply
		reason string
	}{
		"body":             {&warren.Reply{Body: make([]byte, limits.Body+1)}, warren.ReasonReplyTooLarge},
		"content type":     {&warren.Reply{ContentType: strings.Repeat("x", 256)}, warren.ReasonBadReply},
		"content encoding": {&warren.Reply{ContentEncoding: strings.Repeat("x", 256)}, warren.ReasonBadReply},
		"header":           {&warren.Reply{Header: warren.Header{"CC": "orders.pay"}}, warren.ReasonBadReply},
	} {
		msg := wire.EncodeReply(call, test.reply, wire.Transient, limits)
		checkShortStrings(t, &msg)
		reply, err := wire.DecodeReply(deliver(msg), call, limits)
		if reply != nil || err == nil || err.Outcome != warren.Executed || err.Reason != test.reason || !err.Remote || err.Message == "" {
			t.Errorf("%s: %+v, %v", name, reply, err)
		}
		msg = wire.EncodeReply(plain, test.reply, wire.Transient, limits)
		if len(msg.Body) > 1000 || !strings.Contains(string(msg.Body), test.reason) {
			t.Errorf("%s: a plain caller gets %d bytes: %.100q", name, len(msg.Body), msg.Body)
		}
	}
	_, err := wire.DecodeReply(&amqp.Delivery{Body: make([]byte, limits.Body+1)}, call, limits)
	if err == nil || err.Reason != warren.ReasonReplyTooLarge || err.Outcome != warren.Executed {
		t.Errorf("a plain server's reply that is too large is told as %v", err)
	}
}

// A message that is no reply proves nothing.
func TestMessageThatIsNoReplyLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]*amqp.Delivery{
		"a call":           {Type: "warren/1;k=call;n=1"},
		"a cancel":         {Type: "warren/1;k=cancel"},
		"another version":  {Type: "warren/2;k=reply"},
		"broken metadata":  {Type: "warren/1;k=reply;o=certainly"},
		"a reason of none": {Type: "warren/1;k=reply;c=internal;r=So what"},
		"no kind":          {Type: "warren/1"},
		"its headers":      {Type: "warren/1;k=reply", Headers: amqp.Table{"a": strings.Repeat("x", 1<<17)}},
	} {
		reply, err := wire.DecodeReply(d, call, limits)
		if reply != nil || err == nil || err.Code != warren.CodeInternal || err.Reason != warren.ReasonBadReply ||
			err.Outcome != warren.Unknown || strings.HasPrefix(err.Message, "warren:") || len(err.Message) > 300 {
			t.Errorf("%s: %+v, %v", name, reply, err)
		}
	}
}

// text draws what handlers put into errors, over every bound too.
func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(), bytesAsText(),
		rapid.Map(rapid.IntRange(0, 6000), func(n int) string { return strings.Repeat("<\x00", n) }),
		rapid.Map(rapid.IntRange(0, 6000), func(n int) string { return strings.Repeat("€", n) }),
		rapid.Map(rapid.IntRange(0, 6000), func(n int) string { return strings.Repeat("\xff", n) }),
		rapid.SampledFrom([]string{"two\nlines", "cr\rlf\r\n", "sep\u2028\u2029", "\x1b[31mred", "\u0085"}),
	)
}

func failures() *rapid.Generator[*warren.Error] {
	return rapid.Custom(func(t *rapid.T) *warren.Error {
		return &warren.Error{
			Code: warren.Code(rapid.Byte().Draw(t, "code")), Reason: text().Draw(t, "reason"), Outcome: warren.Outcome(rapid.Byte().Draw(t, "outcome")),
			Message: text().Draw(t, "message"), RetryAfter: time.Duration(rapid.Int64().Draw(t, "retry")),
			Incident: text().Draw(t, "incident"), Details: rapid.MapOfN(text(), text(), 0, 40).Draw(t, "details"),
			Replayed: rapid.Bool().Draw(t, "replayed"), Method: "secret.method", CallID: "secret", Cause: fmt.Errorf("secret"),
		}
	})
}

// Whatever a handler puts into an error, its caller gets an error within the
// bounds, and all of it that is within them.
func TestErrorGoesThereAndBackWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := failures().Draw(t, "error")
		msg := wire.EncodeError(call, sent, wire.Transient)
		checkShortStrings(t, &msg)
		if bytes.Contains(msg.Body, []byte("secret")) {
			t.Fatalf("what is not for the caller travels: %s", msg.Body)
		}
		reply, got := wire.DecodeReply(deliver(msg), call, limits)
		if reply != nil || got == nil || !got.Remote {
			t.Fatalf("arrives as %+v, %v", reply, got)
		}
		code, outcome, reason := sent.Code, sent.Outcome, sent.Reason
		if !code.Valid() {
			code = warren.CodeUnknown
		}
		if outcome > warren.Executed {
			outcome = warren.Unknown
		}
		if warren.CheckReason(reason) != nil {
			reason = ""
		}
		if got.Code != code || got.Outcome != outcome || got.Reason != reason || got.Replayed != sent.Replayed {
			t.Fatalf("%v arrives as %v", sent, got)
		}
		checkText(t, sent.Message, got.Message, 4<<10)
		checkDetails(t, sent.Details, got.Details)
		if len(got.Incident) > warren.MaxIncident || got.RetryAfter > warren.MaxRetryAfter || (got.RetryAfter < 0) != (sent.RetryAfter < 0) {
			t.Fatalf("the incident is %q, the wait %v", got.Incident, got.RetryAfter)
		}
	})
}

// checkText demands that got is sent, made valid and cut between characters.
func checkText(t *rapid.T, sent, got string, most int) {
	t.Helper()
	valid := strings.ToValidUTF8(sent, "\ufffd")
	if !utf8.ValidString(got) || len(got) > most || !strings.HasPrefix(valid, got) {
		t.Fatalf("%q arrives as %q", sent, got)
	}
	if len(valid) <= most && got != valid || len(valid) > most && len(got) < most-utf8.UTFMax {
		t.Fatalf("%d bytes of text are cut to %d", len(valid), len(got))
	}
}

func checkDetails(t *rapid.T, sent, got map[string]string) {
	t.Helper()
	fit := map[string]string{}
	size, gotSize := 0, 0
	for key, value := range sent {
		fit[strings.ToValidUTF8(key, "\ufffd")] = strings.ToValidUTF8(value, "\ufffd")
	}
	for key, value := range fit {
		size += len(key) + len(value)
	}
	for key, value := range got {
		gotSize += len(key) + len(value)
		if !utf8.ValidString(key + value) {
			t.Fatalf("a detail is not text: %q, %q", key, value)
		}
		if _, found := fit[key]; !found {
			t.Fatalf("the detail %q was not sent", key)
		}
	}
	if len(got) > 32 || gotSize > 4<<10 {
		t.Fatalf("%d details of %d bytes arrive", len(got), gotSize)
	}
	// Only where two names became one is it not fixed which of their values arrives.
	if len(fit) == len(sent) && len(fit) <= 32 && size <= 4<<10 && !maps.Equal(fit, got) {
		t.Fatalf("%q arrive as %q", fit, got)
	}
}

// In JSON a control character takes six bytes, so an error within its bounds may
// have a body far beyond them.
func TestErrorThatGrowsInJSONArrivesWhole(t *testing.T) {
	t.Parallel()
	sent := &warren.Error{
		Code: warren.CodeInternal, Outcome: warren.Executed, Message: strings.Repeat("\x00", 4<<10),
		Details: map[string]string{"key": strings.Repeat("\x01", 4<<10-3)},
	}
	msg := wire.EncodeError(call, sent, wire.Transient)
	if _, got := wire.DecodeReply(deliver(msg), call, limits); got.Message != sent.Message || !maps.Equal(got.Details, sent.Details) {
		t.Fatalf("of a body of %d bytes arrive %d bytes of text and %d details", len(msg.Body), len(got.Message), len(got.Details))
	}
}

func TestErrorsAreCutAlikeEachTime(t *testing.T) {
	t.Parallel()
	details := map[string]string{"a": strings.Repeat("x", 5000)}
	for i := range 50 {
		details[fmt.Sprint("key", i)] = strings.Repeat("v", 200)
	}
	e := &warren.Error{Code: warren.CodeInternal, Details: details}
	first := wire.EncodeError(call, e, wire.Transient)
	for range 10 {
		if again := wire.EncodeError(call, e, wire.Transient); !bytes.Equal(again.Body, first.Body) {
			t.Fatalf("%s and %s", first.Body, again.Body)
		}
	}
	// One detail that is too large does not cost the others.
	if _, got := wire.DecodeReply(deliver(first), call, limits); len(got.Details) < 19 || got.Details["key0"] == "" {
		t.Fatalf("%d details arrive", len(got.Details))
	}
}

func TestPlainCallersGetErrorsAsOneLine(t *testing.T) {
	t.Parallel()
	msg := wire.EncodeError(plain, &warren.Error{
		Code: warren.CodeNotFound, Reason: "no_such_order", Outcome: warren.Executed, Message: "there is\nno order",
	}, wire.Transient)
	if string(msg.Body) != "not_found/no_such_order: there is no order" || msg.ContentType != "text/plain" || msg.CorrelationId != "1" {
		t.Errorf("the reply is %+v", msg)
	}
	rapid.Check(t, func(t *rapid.T) {
		e := failures().Draw(t, "error")
		msg := wire.EncodeError(plain, e, wire.Transient)
		checkShortStrings(t, &msg)
		line := string(msg.Body)
		if !utf8.ValidString(line) || len(line) > 5<<10 || strings.ContainsFunc(line, func(r rune) bool {
			return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
		}) {
			t.Fatalf("%q", line)
		}
		// The type tells those who look that it is an error.
		if _, told := wire.DecodeReply(deliver(msg), call, limits); told == nil || !told.Remote {
			t.Fatalf("read as %v", told)
		}
	})
}

// FuzzDecodeReply: whatever comes back is a reply within the bounds or an error
// that keeps the promises of errors.
func FuzzDecodeReply(f *testing.F) {
	f.Add("warren/1;k=reply;n=1", "id", "h", []byte("body"))
	f.Add("warren/1;k=reply;c=internal;r=panic;o=executed;i=4711", "id", "h", []byte(`{"message":"m","details":{"a":"b"}}`))
	f.Add("warren/1;k=reply;c=internal", "", "", []byte(`{"message":7}`))
	f.Add("warren/1;k=reply;c=not_found;w=-1", "", "", []byte("\xff\xfe"))
	f.Add("warren/1;k=call", "", "", []byte(nil))
	f.Add("", "", "x-death", []byte(`{"message":"m"}`))
	f.Fuzz(func(t *testing.T, typ, callID, key string, body []byte) {
		d := &amqp.Delivery{Type: typ, CorrelationId: callID, Body: body, Headers: amqp.Table{key: body}}
		reply, err := wire.DecodeReply(d, call, limits)
		if (reply == nil) == (err == nil) {
			t.Fatalf("both or neither: %+v, %v", reply, err)
		}
		if err == nil {
			if reply.CallID != callID || reply.Plain == wire.IsWarren(typ) || !bytes.Equal(reply.Body, body) {
				t.Fatalf("the reply is %+v", reply)
			}
			return
		}
		if !err.Code.Valid() || warren.CheckReason(err.Reason) != nil || err.Outcome > warren.Executed || len(err.Message) > 4<<10 ||
			!utf8.ValidString(err.Message) || len(err.Details) > 32 || err.RetryAfter > warren.MaxRetryAfter {
			t.Fatalf("the error is %+v", err)
		}
	})
}
