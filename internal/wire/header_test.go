package wire_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// request returns a plain request with these headers.
func request(headers amqp.Table) *amqp.Delivery {
	return &amqp.Delivery{Headers: headers, ReplyTo: "q", CorrelationId: "1"}
}

func TestHeadersOfPlainPeersBecomeText(t *testing.T) {
	t.Parallel()
	instant := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("east", 3600))
	for text, value := range map[string]any{
		"text":                 "text",
		"bytes\xff":            []byte("bytes\xff"),
		"true":                 true,
		"false":                false,
		"-8":                   int8(-8),
		"8":                    byte(8),
		"-16":                  int16(-16),
		"16":                   uint16(16),
		"-32":                  int32(-32),
		"32":                   uint32(32),
		"-9223372036854775808": int64(math.MinInt64),
		"0.1":                  float32(0.1),
		"1e+100":               1e100,
		"NaN":                  math.NaN(),
		"2026-02-03T03:05:06Z": instant,
		"12.34":                amqp.Decimal{Scale: 2, Value: 1234},
		"":                     nil,
	} {
		req, err := wire.DecodeRequest(request(amqp.Table{"h": value}), "m", limits)
		if err != nil || len(req.Header) != 1 || req.Header["h"] != text {
			t.Errorf("%T %v arrives as %q, %v; want %q", value, value, req.Header, err, text)
		}
	}
}

func TestExtremeScalarsDoNotPanic(t *testing.T) {
	t.Parallel()
	for _, value := range []any{
		time.Unix(math.MinInt64, 0), time.Unix(math.MaxInt64, 0), time.Time{}, amqp.Decimal{Scale: 255, Value: math.MinInt32},
		math.Inf(-1), float32(math.Inf(1)), struct{}{}, amqp.Table(nil), []any(nil), map[string]any{"a": 1},
	} {
		if _, err := wire.DecodeRequest(request(amqp.Table{"h": value}), "m", limits); err != nil {
			t.Errorf("%T: %v", value, err)
		}
	}
}

func TestTablesArraysAndTheBrokersOwnHeadersAreNotPassedOn(t *testing.T) {
	t.Parallel()
	req, err := wire.DecodeRequest(request(amqp.Table{
		"mine": "1", "table": amqp.Table{"a": "b"}, "array": []any{"a"}, "CC": []any{"q"}, "BCC": []any{"q"},
		"x-death": []any{amqp.Table{"count": int64(1)}}, "x-delivery-count": int64(3), "x-acquired-count": int64(3),
		"x-first-death-queue": "q", "x-first-death-reason": "expired", "x-last-death-exchange": "",
	}), "m", limits)
	if err != nil || !maps.Equal(req.Header, warren.Header{"mine": "1"}) {
		t.Fatalf("the handler sees %v, %v", req.Header, err)
	}
	req, err = wire.DecodeRequest(request(amqp.Table{"x-delivery-count": int64(3)}), "m", limits)
	if err != nil || req.Header != nil {
		t.Fatalf("the handler sees %v, %v; want none", req.Header, err)
	}
}

// dead is what a broker adds to a message that has been delivered and
// dead-lettered before.
func dead(table amqp.Table) amqp.Table {
	table = maps.Clone(table)
	if table == nil {
		table = amqp.Table{}
	}
	table["x-delivery-count"], table["x-acquired-count"] = int64(7), int64(7)
	table["x-first-death-queue"], table["x-last-death-queue"] = "orders", "orders"
	death := amqp.Table{"queue": strings.Repeat("q", 200), "routing-keys": []any{"k"}, "time": time.Unix(1, 0), "count": int64(1)}
	table["x-death"] = slices.Repeat([]any{death}, 100)
	return table
}

// What the broker adds must not turn a request at the bounds into one over
// them, or a crash would make it unacceptable to the next server.
func TestRedeliveryDoesNotBreakTheBounds(t *testing.T) {
	t.Parallel()
	full := warren.Header{}
	for i := range limits.Headers {
		full[fmt.Sprintf("%03d", i)] = strings.Repeat("v", limits.HeaderBytes/limits.Headers-3)
	}
	msg, failure := wire.EncodeRequest(&wire.Request{Request: warren.Request{Method: "m", CallID: "1", Attempt: 1, Header: full}}, wire.Transient, limits)
	if failure != nil {
		t.Fatal(failure)
	}
	for _, table := range []amqp.Table{msg.Headers, dead(msg.Headers)} {
		d := deliver(msg)
		d.Headers, d.Redelivered = table, true
		req, err := wire.DecodeRequest(d, "m", limits)
		if err != nil || !maps.Equal(req.Header, full) {
			t.Fatalf("%d headers: %v", len(table), err)
		}
	}
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	many := func(n int) warren.Header {
		h := warren.Header{}
		for i := range n {
			h[fmt.Sprint("h", i)] = ""
		}
		return h
	}
	for name, test := range map[string]struct {
		header warren.Header
		why    string // empty: accepted
	}{
		"none":                {nil, ""},
		"as many as may be":   {many(limits.Headers), ""},
		"one more":            {many(limits.Headers + 1), "65 headers"},
		"as large as may be":  {warren.Header{"h": strings.Repeat("v", limits.HeaderBytes-1)}, ""},
		"one byte more":       {warren.Header{"h": strings.Repeat("v", limits.HeaderBytes)}, "more than 16384 bytes"},
		"empty name":          {warren.Header{"": "v"}, "empty"},
		"longest name":        {warren.Header{strings.Repeat("n", 128): "v"}, ""},
		"name too long":       {warren.Header{strings.Repeat("n", 129): "v"}, "129 bytes"},
		"space in the name":   {warren.Header{"a b": "v"}, "byte 1"},
		"newline in the name": {warren.Header{"a\n": "v"}, "byte 1"},
		"umlaut in the name":  {warren.Header{"ä": "v"}, "byte 0"},
		"CC":                  {warren.Header{"CC": "other.method"}, "broker's own"},
		"BCC":                 {warren.Header{"BCC": "other.method"}, "broker's own"},
		"cc is no CC":         {warren.Header{"cc": "v", "Bcc": "v"}, ""},
		"x-death":             {warren.Header{"x-death": "v"}, "broker's own"},
		"x-delivery-count":    {warren.Header{"x-delivery-count": "0"}, "broker's own"},
		"x-first-death-queue": {warren.Header{"x-first-death-queue": "v"}, "broker's own"},
		"any other x":         {warren.Header{"x-request-id": "v", "traceparent": "00-1-2-01"}, ""},
		"any value":           {warren.Header{"h": "\x00\xff\r\n"}, ""},
	} {
		_, failure := wire.EncodeRequest(&wire.Request{Request: warren.Request{Method: "m", CallID: "1", Header: test.header}}, wire.Transient, limits)
		reply := wire.EncodeReply(call, &warren.Reply{Header: test.header}, wire.Transient, limits)
		_, told := wire.DecodeReply(deliver(reply), call, limits)
		if test.why == "" {
			if failure != nil || told != nil {
				t.Errorf("%s: %v, %v", name, failure, told)
			}
			continue
		}
		checkBadRequest(t, name, failure, test.why)
		// The handler ran: its caller must not be told otherwise.
		if told == nil || told.Code != warren.CodeInternal || told.Reason != warren.ReasonBadReply || told.Outcome != warren.Executed ||
			!strings.Contains(told.Message, test.why) {
			t.Errorf("a reply with %s is told as %v", name, told)
		}
	}
}

func TestReceivedHeadersAreBounded(t *testing.T) {
	t.Parallel()
	many := func(n int) amqp.Table {
		table := amqp.Table{}
		for i := range n {
			table[fmt.Sprint("h", i)] = nil
		}
		return table
	}
	var deep any = "v"
	for range 30 {
		deep = amqp.Table{"t": []any{deep}}
	}
	wide := slices.Repeat([]any{int64(1)}, 8000)
	for name, test := range map[string]struct {
		table amqp.Table
		why   string
	}{
		"as many as may be":    {many(64), ""},
		"one more":             {many(65), "65 headers"},
		"thousands":            {many(8192), "8192 headers"},
		"three levels":         {amqp.Table{"a": amqp.Table{"b": []any{"c"}}}, ""},
		"four levels":          {amqp.Table{"a": amqp.Table{"b": []any{amqp.Table{}}}}, "too deep"},
		"four levels of array": {amqp.Table{"a": []any{[]any{[]any{"x"}}}}, "too deep"},
		"sixty levels":         {amqp.Table{"a": deep}, "too deep"},
		"a large value":        {amqp.Table{"a": strings.Repeat("v", 16<<10)}, "too many bytes"},
		"large bytes":          {amqp.Table{"a": make([]byte, 16<<10)}, "too many bytes"},
		"a large table":        {amqp.Table{"a": amqp.Table{"b": strings.Repeat("v", 16<<10)}}, "too many bytes"},
		"a large name":         {amqp.Table{"a": amqp.Table{strings.Repeat("n", 16<<10): nil}}, "too many bytes"},
		"a wide array":         {amqp.Table{"a": wide}, "too many bytes"},
	} {
		_, err := wire.DecodeRequest(request(test.table), "m", limits)
		_, told := wire.DecodeReply(request(test.table), call, limits)
		if test.why == "" {
			if err != nil || told != nil {
				t.Errorf("%s: %v, %v", name, err, told)
			}
			continue
		}
		e, _ := warren.AsError(err)
		checkBadRequest(t, name, e, test.why)
		if told == nil || told.Reason != warren.ReasonBadReply || !strings.Contains(told.Message, test.why) {
			t.Errorf("a reply with %s is told as %v", name, told)
		}
	}
}

// checkBadRequest demands an error that says why, and that nothing was done.
func checkBadRequest(t *testing.T, name string, err *warren.Error, why string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted", name)
		return
	}
	if err.Code != warren.CodeInvalidArgument || err.Reason != warren.ReasonBadRequest || err.Outcome != warren.NotExecuted ||
		!strings.Contains(err.Message, why) || strings.ContainsAny(err.Message, "\r\n") || len(err.Message) > 400 {
		t.Errorf("%s: %v; want bad_request, not executed, %q", name, err, why)
	}
}
