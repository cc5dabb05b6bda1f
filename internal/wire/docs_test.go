package wire_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// These tests hold docs/wire.md, which other languages' peers are written from,
// against what this package does. Its vectors are in docs/wire/vectors.json: lists
// by name, each vector an object.

// vectorLists reads the file once.
var vectorLists = sync.OnceValues(func() (lists map[string][]json.RawMessage, err error) {
	text, err := os.ReadFile("../../docs/wire/vectors.json")
	if err != nil {
		return nil, err
	}
	return lists, json.Unmarshal(text, &lists)
})

// vectors returns one list.
func vectors(t *testing.T, name string, atLeast int) []json.RawMessage {
	t.Helper()
	lists, err := vectorLists()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(lists[name]); n < atLeast {
		t.Fatalf("docs/wire/vectors.json has %d vectors %q; want %d or more", n, name, atLeast)
	}
	return lists[name]
}

func decodeVector(t *testing.T, vector json.RawMessage, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(vector))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", vector, err)
	}
}

// typeVector is a type property: text, or bytes in hex.
type typeVector struct {
	Type    string `json:"type"`
	TypeHex string `json:"type_hex"`
}

func (v *typeVector) value(t *testing.T) string {
	t.Helper()
	b, err := hex.DecodeString(v.TypeHex)
	if err != nil {
		t.Fatalf("%s: %v", v.TypeHex, err)
	}
	return v.Type + string(b)
}

// metaVector is metadata as docs/wire.md writes it.
type metaVector struct {
	Version    wire.Version   `json:"version"`
	Kind       string         `json:"kind"`
	Attempt    int            `json:"attempt"`
	Deadline   int64          `json:"deadline"`
	Issued     int64          `json:"issued"`
	Nonce      string         `json:"nonce"`
	Bundles    bool           `json:"bundles"`
	Code       warren.Code    `json:"code"`
	Reason     string         `json:"reason"`
	Outcome    warren.Outcome `json:"outcome"`
	RetryAfter int64          `json:"retry_after"`
	Incident   string         `json:"incident"`
	Replayed   bool           `json:"replayed"`
}

func (v *metaVector) meta() wire.Meta {
	kinds := map[string]wire.Kind{
		"call": wire.KindCall, "reply": wire.KindReply, "resolve": wire.KindResolve, "cancel": wire.KindCancel, "bundle": wire.KindBundle,
	}
	return wire.Meta{
		Version: cmp.Or(v.Version, wire.V1), Kind: kinds[v.Kind], Attempt: v.Attempt, Deadline: instant(v.Deadline), Issued: instant(v.Issued), Nonce: nonce(v.Nonce), Bundles: v.Bundles,
		Code: v.Code, Reason: v.Reason, Outcome: v.Outcome, Incident: v.Incident, Replayed: v.Replayed,
		RetryAfter: time.Duration(v.RetryAfter) * time.Millisecond,
	}
}

func nonce(s string) (n wire.Nonce) {
	copy(n[:], s)
	return n
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
		for _, vector := range vectors(t, list, atLeast) {
			var v struct {
				typeVector

				Fields metaVector `json:"fields"`
			}
			decodeVector(t, vector, &v)
			typ, want := v.value(t), v.Fields.meta()
			got, err := wire.DecodeMeta(typ)
			if err != nil || got != want {
				t.Errorf("%s: read as %+v, %v; want %+v", vector, got, err, want)
			}
			if written := want.Encode(); list == "written" && written != typ {
				t.Errorf("%s: written as %s", vector, written)
			}
		}
	}
}

func TestMetadataIsRefusedAsDocumented(t *testing.T) {
	t.Parallel()
	for _, vector := range vectors(t, "refused", 20) {
		var v struct {
			typeVector

			Because string `json:"because"`
		}
		decodeVector(t, vector, &v)
		typ := v.value(t)
		_, err := wire.DecodeMeta(typ)
		if err == nil {
			t.Errorf("%s: accepted", vector)
		} else if version := errors.Is(err, wire.ErrVersion); version != (v.Because == "version") {
			t.Errorf("%s: %v", vector, err)
		}
		if !wire.IsWarren(typ) {
			t.Errorf("%s: taken for a plain peer's", vector)
		}
	}
	for _, vector := range vectors(t, "plain", 4) {
		var v typeVector
		decodeVector(t, vector, &v)
		if wire.IsWarren(v.value(t)) {
			t.Errorf("%s: taken for Warren's", vector)
		}
	}
}

// messageVector is a message as docs/wire.md writes it.
type messageVector struct {
	typeVector

	CorrelationID string         `json:"correlation_id"`
	Expiration    string         `json:"expiration"`
	ReplyTo       string         `json:"reply_to"`
	AppID         string         `json:"app_id"`
	ContentType   string         `json:"content_type"`
	Headers       map[string]any `json:"headers"`
	Body          string         `json:"body"`
	BodyBytes     int            `json:"body_bytes"`
}

func (v *messageVector) delivery(t *testing.T) *amqp.Delivery {
	t.Helper()
	d := &amqp.Delivery{
		Type: v.value(t), CorrelationId: v.CorrelationID, Expiration: v.Expiration, ReplyTo: v.ReplyTo, AppId: v.AppID, ContentType: v.ContentType,
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
	for _, vector := range vectors(t, "requests", 10) {
		var v struct {
			Message  messageVector `json:"message"`
			Then     string        `json:"then"`
			Version  wire.Version  `json:"version"`
			Plain    bool          `json:"plain"`
			OneWay   bool          `json:"one_way"`
			Attempt  int           `json:"attempt"`
			Deadline int64         `json:"deadline"`
			Nonce    string        `json:"nonce"`
			Headers  warren.Header `json:"headers"`
			Code     warren.Code   `json:"code"`
			Reason   string        `json:"reason"`
		}
		decodeVector(t, vector, &v)
		d := v.Message.delivery(t)
		req, err := wire.DecodeRequest(d, "orders.create", limits)
		e, typed := warren.AsError(err)
		switch {
		case v.Then == "drop":
			if req != nil || !errors.Is(err, wire.ErrNotACall) {
				t.Errorf("%s: %+v, %v", vector, req, err)
			}
		case v.Then == "refuse":
			if !typed || e.Code != v.Code || e.Reason != v.Reason || e.Outcome != warren.NotExecuted || req == nil {
				t.Errorf("%s: %+v, %v", vector, req, err)
			}
		case v.Then != "serve":
			t.Errorf("%s: then what?", vector)
		case err != nil:
			t.Errorf("%s: %v", vector, err)
		case req.Version != cmp.Or(v.Version, wire.V1) || req.Plain != v.Plain || req.OneWay != v.OneWay || req.Attempt != v.Attempt ||
			!req.Deadline.Equal(instant(v.Deadline)) || req.Nonce != nonce(v.Nonce) || !maps.Equal(req.Header, v.Headers) ||
			req.CallID != d.CorrelationId || req.Caller != d.AppId || len(req.Body) != len(d.Body):
			t.Errorf("%s: %+v", vector, req)
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
	for _, vector := range vectors(t, "replies", 10) {
		var v struct {
			errorVector

			Message messageVector `json:"message"`
			Version wire.Version  `json:"version"`
			Issued  int64         `json:"issued"`
			Nonce   string        `json:"nonce"`
			Unique  bool          `json:"unique"`
			Then    string        `json:"then"`
			Plain   bool          `json:"plain"`
			Headers warren.Header `json:"headers"`
		}
		decodeVector(t, vector, &v)
		d := v.Message.delivery(t)
		req := &wire.Request{
			Request: warren.Request{Issued: instant(v.Issued)}, Version: v.Version, Nonce: nonce(v.Nonce), Unique: v.Unique,
		}
		reply, err := wire.DecodeReply(d, req, limits)
		if e := wire.RefusesVersion(d, req); (e != nil) != (v.Then == "again") {
			t.Errorf("%s: %v", vector, e)
		}
		switch v.Then {
		case "again":
			if e := wire.RefusesVersion(d, req); reply != nil || err != nil || e != nil && (e.Code != v.Code || e.Reason != v.Reason || e.Outcome != v.Outcome) {
				t.Errorf("%s: %+v, %v, %+v", vector, reply, err, e)
			}
		case "result":
			if err != nil || reply == nil || reply.Plain != v.Plain || !maps.Equal(reply.Header, v.Headers) ||
				string(reply.Body) != string(d.Body) || reply.ContentType != d.ContentType || reply.Replayed != v.Replayed {
				t.Errorf("%s: %+v, %v", vector, reply, err)
			}
		case "drop":
			if reply != nil || err != nil {
				t.Errorf("%s: %+v, %v", vector, reply, err)
			}
		case "error":
			if err == nil || err.Code != v.Code || err.Reason != v.Reason || err.Outcome != v.Outcome ||
				!maps.Equal(err.Details, v.Details) || err.Replayed != v.Replayed || v.Text != "" && err.Message != v.Text {
				t.Errorf("%s: %+v", vector, err)
			}
		default:
			t.Errorf("%s: then what?", vector)
		}
	}
}

func TestErrorsAreWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	for _, vector := range vectors(t, "errors", 5) {
		var v struct {
			Version wire.Version  `json:"version"`
			Plain   bool          `json:"plain"`
			Attempt int           `json:"attempt"`
			Issued  int64         `json:"issued"`
			Nonce   string        `json:"nonce"`
			Error   errorVector   `json:"error"`
			Message messageVector `json:"message"`
		}
		decodeVector(t, vector, &v)
		msg := wire.EncodeError(&wire.Request{
			Request: warren.Request{CallID: "17", Plain: v.Plain, Attempt: v.Attempt, Issued: instant(v.Issued)},
			Version: v.Version, Nonce: nonce(v.Nonce),
		}, &warren.Error{
			Code: v.Error.Code, Reason: v.Error.Reason, Outcome: v.Error.Outcome, Message: v.Error.Text, Details: v.Error.Details,
			Replayed: v.Error.Replayed,
		}, wire.Transient)
		if msg.Type != v.Message.value(t) || msg.ContentType != v.Message.ContentType || string(msg.Body) != v.Message.Body ||
			msg.CorrelationId != "17" || len(msg.Headers) != 0 || msg.Expiration != "" {
			t.Errorf("%s: %+v %s", vector, msg, msg.Body)
		}
	}
}

func TestExpirationIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	for _, vector := range vectors(t, "expiration", 5) {
		var v struct {
			Left       string `json:"left"`
			Expiration string `json:"expiration"`
		}
		decodeVector(t, vector, &v)
		left, err := time.ParseDuration(v.Left)
		if err != nil {
			t.Fatal(err)
		}
		if got := wire.Expiration(left); got != v.Expiration {
			t.Errorf("%s: %s", vector, got)
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
