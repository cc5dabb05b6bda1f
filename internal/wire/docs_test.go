package wire_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// These tests hold docs/wire.md, which other languages' peers are written from,
// against what this package does. Each list of vectors there follows a line
// like `<!-- vectors: written -->`.

// vectors returns the lines of one list: of a table the cells that are code, of
// a block of JSON the lines.
func vectors(t *testing.T, name string, atLeast int) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- vectors: "+name+" -->\n")
	if !ok {
		t.Fatalf("docs/wire.md has no vectors %q", name)
	}
	var lines [][]string
	for i, line := range strings.Split(rest, "\n") {
		switch {
		case strings.HasPrefix(line, "{"):
			lines = append(lines, []string{line})
		case strings.HasPrefix(line, "|---"):
			lines = nil // what came before was the head of the table
		case strings.HasPrefix(line, "| `"):
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "| "), " | ") {
				cells = append(cells, strings.Trim(cell, "`"))
			}
			lines = append(lines, cells)
		case strings.HasPrefix(line, "|"), i == 0: // a table's head, or the fence of a block
		default:
			if len(lines) < atLeast {
				t.Fatalf("docs/wire.md has %d vectors %q; want %d or more", len(lines), name, atLeast)
			}
			return lines
		}
	}
	t.Fatalf("docs/wire.md: the vectors %q do not end", name)
	return nil
}

func decodeVector(t *testing.T, line string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

// metaVector is metadata as docs/wire.md writes it.
type metaVector struct {
	Kind       string         `json:"kind"`
	Attempt    int            `json:"attempt"`
	Deadline   int64          `json:"deadline"`
	Issued     int64          `json:"issued"`
	Code       warren.Code    `json:"code"`
	Reason     string         `json:"reason"`
	Outcome    warren.Outcome `json:"outcome"`
	RetryAfter int64          `json:"retry_after"`
	Incident   string         `json:"incident"`
	Replayed   bool           `json:"replayed"`
}

func (v *metaVector) meta() wire.Meta {
	kinds := map[string]wire.Kind{
		"call": wire.KindCall, "reply": wire.KindReply, "resolve": wire.KindResolve, "cancel": wire.KindCancel,
	}
	return wire.Meta{
		Kind: kinds[v.Kind], Attempt: v.Attempt, Deadline: instant(v.Deadline), Issued: instant(v.Issued),
		Code: v.Code, Reason: v.Reason, Outcome: v.Outcome, Incident: v.Incident, Replayed: v.Replayed,
		RetryAfter: time.Duration(v.RetryAfter) * time.Millisecond,
	}
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func TestMetadataIsReadAndWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	for list, atLeast := range map[string]int{"written": 10, "accepted": 10} {
		for _, cells := range vectors(t, list, atLeast) {
			var v metaVector
			decodeVector(t, cells[1], &v)
			want := v.meta()
			got, err := wire.DecodeMeta(cells[0])
			if err != nil || got != want {
				t.Errorf("%s: read as %+v, %v; want %+v", cells[0], got, err, want)
			}
			if written := want.Encode(); list == "written" && written != cells[0] {
				t.Errorf("%s: written as %s", cells[0], written)
			}
		}
	}
}

func TestMetadataIsRefusedAsDocumented(t *testing.T) {
	t.Parallel()
	for _, cells := range vectors(t, "refused", 20) {
		_, err := wire.DecodeMeta(cells[0])
		if err == nil {
			t.Errorf("%s: accepted; want it refused: %s", cells[0], cells[1])
		} else if version := errors.Is(err, wire.ErrVersion); version != (cells[1] == "version") {
			t.Errorf("%s: %v; want: %s", cells[0], err, cells[1])
		}
		if !wire.IsWarren(cells[0]) {
			t.Errorf("%s: taken for a plain peer's", cells[0])
		}
	}
	for _, typ := range []string{"warren", "Warren/1;k=call", "order", ""} {
		if wire.IsWarren(typ) {
			t.Errorf("%q: taken for Warren's", typ)
		}
	}
}

// messageVector is a message as docs/wire.md writes it.
type messageVector struct {
	Type          string         `json:"type"`
	CorrelationID string         `json:"correlation_id"`
	ReplyTo       string         `json:"reply_to"`
	AppID         string         `json:"app_id"`
	ContentType   string         `json:"content_type"`
	Headers       map[string]any `json:"headers"`
	Body          string         `json:"body"`
	BodyBytes     int            `json:"body_bytes"`
}

func (v *messageVector) delivery() *amqp.Delivery {
	d := &amqp.Delivery{
		Type: v.Type, CorrelationId: v.CorrelationID, ReplyTo: v.ReplyTo, AppId: v.AppID, ContentType: v.ContentType,
		Body: []byte(v.Body),
	}
	if v.Headers != nil {
		d.Headers, _ = fromJSON(v.Headers).(amqp.Table)
	}
	if v.BodyBytes > 0 {
		d.Body = make([]byte, v.BodyBytes)
	}
	return d
}

// fromJSON returns the AMQP value that a JSON value stands for.
func fromJSON(value any) any {
	switch v := value.(type) {
	case map[string]any:
		table := amqp.Table{}
		for key, element := range v {
			table[key] = fromJSON(element)
		}
		return table
	case []any:
		array := make([]any, len(v))
		for i, element := range v {
			array[i] = fromJSON(element)
		}
		return array
	case float64:
		if whole := int64(v); float64(whole) == v {
			return whole
		}
	}
	return value
}

func TestRequestsAreReadAsDocumented(t *testing.T) {
	t.Parallel()
	for _, cells := range vectors(t, "requests", 10) {
		var v struct {
			Message  messageVector `json:"message"`
			Then     string        `json:"then"`
			Plain    bool          `json:"plain"`
			OneWay   bool          `json:"one_way"`
			Attempt  int           `json:"attempt"`
			Deadline int64         `json:"deadline"`
			Headers  warren.Header `json:"headers"`
			Code     warren.Code   `json:"code"`
			Reason   string        `json:"reason"`
		}
		decodeVector(t, cells[0], &v)
		d := v.Message.delivery()
		req, err := wire.DecodeRequest(d, "orders.create", limits)
		e, typed := warren.AsError(err)
		switch {
		case v.Then == "drop":
			if req != nil || !errors.Is(err, wire.ErrNotACall) {
				t.Errorf("%s: %+v, %v", cells[0], req, err)
			}
		case v.Then == "refuse":
			if !typed || e.Code != v.Code || e.Reason != v.Reason || e.Outcome != warren.NotExecuted || req == nil {
				t.Errorf("%s: %+v, %v", cells[0], req, err)
			}
		case v.Then != "serve":
			t.Errorf("%s: then what?", cells[0])
		case err != nil:
			t.Errorf("%s: %v", cells[0], err)
		case req.Plain != v.Plain || req.OneWay != v.OneWay || req.Attempt != v.Attempt ||
			!req.Deadline.Equal(instant(v.Deadline)) || !maps.Equal(req.Header, v.Headers) ||
			req.CallID != d.CorrelationId || req.Caller != d.AppId || len(req.Body) != len(d.Body):
			t.Errorf("%s: %+v", cells[0], req)
		}
	}
}

// errorVector is an error as docs/wire.md writes it.
type errorVector struct {
	Code    warren.Code       `json:"code"`
	Reason  string            `json:"reason"`
	Outcome warren.Outcome    `json:"outcome"`
	Text    string            `json:"text"`
	Details map[string]string `json:"details"`

	Replayed bool `json:"replayed"`
}

func TestRepliesAreReadAsDocumented(t *testing.T) {
	t.Parallel()
	for _, cells := range vectors(t, "replies", 10) {
		var v struct {
			errorVector

			Message messageVector `json:"message"`
			Issued  int64         `json:"issued"`
			Then    string        `json:"then"`
			Plain   bool          `json:"plain"`
			Headers warren.Header `json:"headers"`
		}
		decodeVector(t, cells[0], &v)
		d := v.Message.delivery()
		reply, err := wire.DecodeReply(d, instant(v.Issued), limits)
		switch v.Then {
		case "result":
			if err != nil || reply == nil || reply.Plain != v.Plain || !maps.Equal(reply.Header, v.Headers) ||
				string(reply.Body) != string(d.Body) || reply.ContentType != d.ContentType || reply.Replayed != v.Replayed {
				t.Errorf("%s: %+v, %v", cells[0], reply, err)
			}
		case "drop":
			if reply != nil || err != nil {
				t.Errorf("%s: %+v, %v", cells[0], reply, err)
			}
		case "error":
			if err == nil || err.Code != v.Code || err.Reason != v.Reason || err.Outcome != v.Outcome ||
				!maps.Equal(err.Details, v.Details) || err.Replayed != v.Replayed || v.Text != "" && err.Message != v.Text {
				t.Errorf("%s: %+v", cells[0], err)
			}
		default:
			t.Errorf("%s: then what?", cells[0])
		}
	}
}

func TestErrorsAreWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	for _, cells := range vectors(t, "errors", 5) {
		var v struct {
			Plain   bool          `json:"plain"`
			Attempt int           `json:"attempt"`
			Error   errorVector   `json:"error"`
			Message messageVector `json:"message"`
		}
		decodeVector(t, cells[0], &v)
		msg := wire.EncodeError(&warren.Request{CallID: "17", Plain: v.Plain, Attempt: v.Attempt}, &warren.Error{
			Code: v.Error.Code, Reason: v.Error.Reason, Outcome: v.Error.Outcome, Message: v.Error.Text, Details: v.Error.Details,
			Replayed: v.Error.Replayed,
		}, wire.Transient)
		if msg.Type != v.Message.Type || msg.ContentType != v.Message.ContentType || string(msg.Body) != v.Message.Body ||
			msg.CorrelationId != "17" || len(msg.Headers) != 0 || msg.Expiration != "" {
			t.Errorf("%s: %+v %s", cells[0], msg, msg.Body)
		}
	}
}

func TestExpirationIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	for _, cells := range vectors(t, "expiration", 5) {
		left, err := time.ParseDuration(cells[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := wire.Expiration(left); got != cells[1] {
			t.Errorf("%v: %s; want %s", left, got, cells[1])
		}
	}
}

// What docs/wire.md says of bounds, in words.
func TestBoundsAreThoseDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := (wire.Limits{Body: 1 << 20, Headers: 64, HeaderBytes: 16_384, HeaderDepth: 3}); limits != want {
		t.Errorf("the default limits are %+v; docs/wire.md says %+v", limits, want)
	}
	for c := warren.CodeCanceled; c.Valid(); c++ {
		if !strings.Contains(string(text), `%s"`+c.String()+`"`) {
			t.Errorf("docs/wire.md does not list the code %v", c)
		}
	}
}
