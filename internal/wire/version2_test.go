package wire_test

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

var issued = time.UnixMilli(1_767_225_590_000)

// newest is a request of version 2 that has so long, with an ID of its own.
func newest(left time.Duration) *wire.Request {
	return &wire.Request{
		Request: warren.Request{Method: "m", CallID: "FmNjMZ_VT8WzbK2eCbL9aA", Attempt: 1, Issued: issued, Deadline: issued.Add(left)},
		Version: wire.V2, Nonce: nonce("4q"), Unique: true,
	}
}

// sent returns the message of the request as a server gets it.
func sent(t *testing.T, req *wire.Request, stamp func(msg *wire.Message)) *amqp.Delivery {
	t.Helper()
	msg, err := wire.EncodeRequest(req, wire.Transient, limits)
	if err != nil {
		t.Fatal(err)
	}
	if stamp != nil {
		stamp(&msg)
	}
	return &amqp.Delivery{
		Type: msg.Type, Expiration: msg.Expiration, CorrelationId: msg.CorrelationId, DeliveryMode: msg.DeliveryMode,
		Headers: msg.Headers, ReplyTo: "q",
	}
}

func TestDeadlineIsLeftToTheExpirationWhereThatSaysIt(t *testing.T) {
	t.Parallel()
	late := func(req *wire.Request, v wire.Version, attempt int) func(*wire.Message) {
		return func(msg *wire.Message) { req.Stamp(msg, wire.KindCall, v, attempt, issued.Add(3*time.Second)) }
	}
	for name, test := range map[string]struct {
		left            time.Duration
		version         wire.Version // of a later attempt, 0 if it is the first
		attempt         int
		typ, expiration string
	}{
		"at once":         {left: 10 * time.Second, typ: "warren/2c;tmjuohka8", expiration: "10000"},
		"part of a ms":    {left: 10*time.Second + 700*time.Microsecond, typ: "warren/2c;tmjuohka8", expiration: "10000"},
		"the shortest":    {left: time.Microsecond, typ: "warren/2c;tmjuohka8", expiration: "1"},
		"over a TTL":      {left: 4_000_000_001 * time.Millisecond, typ: "warren/2c;tmjuohka8;d1u5hvr5", expiration: "4000000000"},
		"written late":    {10 * time.Second, wire.V2, 1, "warren/2c;tmjuohka8;d7ps", "7000"},
		"a later attempt": {10 * time.Second, wire.V2, 2, "warren/2c;tmjuohka8;d7ps;n2", "7000"},
		"in version 1":    {10 * time.Second, wire.V1, 2, "warren/1;k=call;n=2;d=1767225600000;t=1767225590000;x=4q", "7000"},
		"for a TTL of 0":  {3 * time.Second, wire.V2, 2, "warren/2c;tmjuohka8;d2bc;n2", "1"},
		"without an end":  {},
		"for ever":        {left: 1 << 62, typ: "", expiration: "4000000000"},
	} {
		req := newest(test.left)
		if test.left == 0 {
			req.Deadline, test.typ = time.Time{}, "warren/2c;tmjuohka8"
		}
		var stamp func(*wire.Message)
		if test.version != 0 {
			stamp = late(req, test.version, test.attempt)
		}
		d := sent(t, req, stamp)
		if test.typ != "" && d.Type != test.typ || d.Expiration != test.expiration {
			t.Errorf("%s: %s and %q; want %s and %q", name, d.Type, d.Expiration, test.typ, test.expiration)
		}
		if v1 := test.version == wire.V1; v1 != (d.DeliveryMode == wire.Transient) {
			t.Errorf("%s: delivery mode %d", name, d.DeliveryMode)
		}
		got, err := wire.DecodeRequest(d, "m", limits)
		switch {
		case err != nil || !got.Issued.Equal(issued) || got.Attempt != max(test.attempt, 1):
			t.Errorf("%s: read as %+v, %v", name, got, err)
		case test.left == 0 && !got.Deadline.IsZero(), test.left >= time.Millisecond && got.Deadline.UnixMilli() != min(req.Deadline.UnixMilli(), 253402300799999):
			t.Errorf("%s: the deadline is read as %v; want %v", name, got.Deadline, req.Deadline)
		case got.Version != max(test.version, wire.V2) && test.version != wire.V1 || got.Unique != (got.Version == wire.V2):
			t.Errorf("%s: read as version %d, unique is %v", name, got.Version, got.Unique)
		}
	}
}

// A dead-lettered message has lost its expiration, and is as old as it is.
func TestDeadlineOutlivesDeadLettering(t *testing.T) {
	t.Parallel()
	d := sent(t, newest(time.Second), nil)
	death := amqp.Table{"queue": "m", "reason": "expired", "original-expiration": d.Expiration}
	for name, test := range map[string]struct {
		expiration string
		headers    amqp.Table
		want       time.Time
	}{
		"as it came":      {"1000", nil, issued.Add(time.Second)},
		"without":         {"", nil, time.Time{}},
		"dead-lettered":   {"", amqp.Table{"x-death": []any{amqp.Table{"queue": "retry"}, death}}, issued.Add(time.Second)},
		"foreign headers": {"", amqp.Table{"x-death": []any{7, amqp.Table{"original-expiration": 7}}}, time.Time{}},
		"no array":        {"", amqp.Table{"x-death": "yes"}, time.Time{}},
		"no number":       {"soon", nil, time.Time{}},
		"negative":        {"-5", nil, time.Time{}},
		"zero":            {"0", nil, time.Time{}},
	} {
		d := *d
		d.Expiration, d.Headers = test.expiration, test.headers
		if req, err := wire.DecodeRequest(&d, "m", limits); err != nil || !req.Deadline.Equal(test.want) {
			t.Errorf("%s: %+v, %v", name, req, err)
		}
		parked := wire.EncodeDead(&d, wire.Dead{})
		d.Type, d.Expiration, d.Headers = parked.Type, parked.Expiration, parked.Headers
		if req, err := wire.DecodeRequest(&d, "m", limits); err != nil || !req.Deadline.Equal(test.want) || d.Expiration != "" {
			t.Errorf("%s, parked as %s: %+v, %v", name, d.Type, req, err)
		}
	}
}

func TestParkedTypeStaysAShortString(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]string{
		"warren/2c;t1;Zeta":   "warren/2c;t1;Zeta;drs",
		"warren/2c;t1;d5":     "warren/2c;t1;d5",
		"warren/1;k=call;t=1": "warren/1;k=call;t=1",
		"warren/2c":           "warren/2c",
		"warren/2c;;":         "warren/2c;;",
		"mine":                "mine",
		"warren/2c;t1;Z" + strings.Repeat("z", 239): "warren/2c;t1;Z" + strings.Repeat("z", 239),
	} {
		if got := wire.EncodeDead(&amqp.Delivery{Type: typ, Expiration: "1000"}, wire.Dead{}); got.Type != want {
			t.Errorf("%s is parked as %s", typ, got.Type)
		}
	}
}

// Replies are in the request's version, and a client takes those to its own invocation.
func TestRepliesAreTakenByVersionAndNonce(t *testing.T) {
	t.Parallel()
	unique, named, old := newest(time.Second), newest(time.Second), newest(time.Second)
	named.Unique, old.Version = false, wire.V1
	for name, test := range map[string]struct {
		req   *wire.Request
		taken map[string]bool
	}{
		"an ID of its own": {unique, map[string]bool{
			"warren/2r": true, "warren/2r;n2": true, "warren/2r;x4q": false, "warren/2r;x4r": false, "warren/2r;tmjuohka8": true,
			"warren/1;k=reply;n=1": false, "warren/1;k=reply;n=1;x=4q": true, "warren/1;k=reply;n=1;x=4r": false,
			"warren/1;k=reply;n=1;t=1767225590000": true, "warren/1;k=reply;n=1;t=1767225590001": false,
		}},
		"the user's ID": {named, map[string]bool{
			"warren/2r": false, "warren/2r;x4q": true, "warren/2r;x4r": false, "warren/2r;tmjuohka8": false,
			"warren/1;k=reply;n=1": false, "warren/1;k=reply;n=1;x=4q": true, "warren/1;k=reply;n=1;t=1767225590000": true,
		}},
	} {
		for typ, want := range test.taken {
			reply, err := wire.DecodeReply(&amqp.Delivery{Type: typ}, test.req, limits)
			if err != nil || (reply != nil) != want {
				t.Errorf("%s: %s is read as %+v, %v", name, typ, reply, err)
			}
		}
	}
	for want, req := range map[string]*wire.Request{
		"warren/2r":                  unique,
		"warren/2r;x4q":              named,
		"warren/1;k=reply;n=1;x=4q":  old,
		"warren/1;k=reply;n=1":       {Request: warren.Request{Plain: true, Attempt: 1}, Version: wire.V1},
		"warren/1;k=reply;n=1;x=abc": {Request: warren.Request{Attempt: 1}, Nonce: nonce("abc")},
	} {
		got := req
		if req.Issued.Equal(issued) {
			var err error
			if got, err = wire.DecodeRequest(sent(t, req, nil), "m", limits); err != nil {
				t.Fatal(err)
			}
		}
		reply := wire.EncodeReply(got, &warren.Reply{}, wire.Transient, limits)
		mode := wire.Transient
		if req.Version == wire.V2 {
			mode = 0
		}
		if reply.Type != want || reply.DeliveryMode != mode {
			t.Errorf("%+v is answered by %+v", req, reply)
		}
		if persistent := wire.EncodeReply(got, &warren.Reply{}, wire.Persistent, limits); persistent.DeliveryMode != wire.Persistent {
			t.Errorf("persistent: %+v", persistent)
		}
		failed := wire.EncodeError(got, &warren.Error{Code: warren.CodeNotFound, Outcome: warren.Executed}, wire.Transient)
		meta, err := wire.DecodeMeta(failed.Type)
		if err != nil || meta.Version != max(req.Version, wire.V1) || meta.Code != warren.CodeNotFound || failed.DeliveryMode != mode {
			t.Errorf("%+v is answered by %+v, %v", req, failed, err)
		}
	}
}

// A request that cannot be read is refused in its version too: in that of another, its
// client would take itself for too new.
func TestWhatCannotBeReadIsRefusedInItsVersion(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]string{
		"warren/2c;t0":     "warren/2r;c3;rbad_request;on",
		"warren/2q":        "warren/2r;c3;rbad_request;on",
		"warren/1;k=x":     "warren/1;k=reply;n=1;c=invalid_argument;r=bad_request;o=not_executed",
		"warren/3c":        "warren/1;k=reply;n=1;c=invalid_argument;r=bad_request;o=not_executed",
		"warren/2;k=call":  "warren/1;k=reply;n=1;c=invalid_argument;r=bad_request;o=not_executed",
		"warren/nonsense!": "warren/1;k=reply;n=1;c=invalid_argument;r=bad_request;o=not_executed",
	} {
		req, err := wire.DecodeRequest(&amqp.Delivery{Type: typ, ReplyTo: "q", CorrelationId: "1"}, "m", limits)
		e, ok := warren.AsError(err)
		if !ok || req == nil {
			t.Fatalf("%s: %+v, %v", typ, req, err)
		}
		if got := wire.EncodeError(req, e, wire.Transient); got.Type != want {
			t.Errorf("%s is refused by %s", typ, got.Type)
		}
	}
}

func TestRefusalOfTheVersionIsTold(t *testing.T) {
	t.Parallel()
	const refusal = "warren/1;k=reply;n=1;c=invalid_argument;r=bad_request;o="
	unique, named, old := newest(time.Second), newest(time.Second), newest(time.Second)
	named.Unique, old.Version = false, wire.V1
	for _, test := range []struct {
		typ  string
		req  *wire.Request
		want string
	}{
		{refusal + "not_executed", unique, "not_executed"},
		{refusal + "unknown", unique, "unknown"},
		{refusal + "not_executed", named, "unknown"}, // it may be an earlier invocation's
		{refusal + "not_executed", old, ""},
		{refusal + "not_executed;x=4q", unique, ""},
		{refusal + "not_executed;t=1767225590000", unique, ""},
		{"warren/2r;c3;rbad_request;on", unique, ""},
		{"warren/1;k=call;n=1;c=invalid_argument;r=bad_request;o=not_executed", unique, ""},
		{"warren/1;k=reply;n=1;c=invalid_argument;r=malformed_body;o=not_executed", unique, ""},
		{"warren/1;k=reply;n=1;c=internal;r=bad_request;o=not_executed", unique, ""},
		{"warren/1;k=reply;n=1", unique, ""},
		{"warren/1", unique, ""},
		{"", unique, ""},
	} {
		got := ""
		if e := wire.RefusesVersion(&amqp.Delivery{Type: test.typ}, test.req); e != nil {
			got = e.Outcome.String()
		}
		again := wire.RefusesVersion(&amqp.Delivery{Type: test.typ, Redelivered: true}, test.req)
		if (again == nil) != (got == "") || again != nil && again.Outcome != warren.Unknown {
			t.Errorf("%s, delivered again: %+v", test.typ, again)
		}
		if got != test.want {
			t.Errorf("%s to version %d: %q, not %q", test.typ, test.req.Version, got, test.want)
		}
	}
}

func TestCommonMessagesCostOneAllocationAtMost(t *testing.T) {
	req, reply := newest(10*time.Second), &warren.Reply{Body: []byte("x")}
	d := sent(t, req, nil)
	got, err := wire.DecodeRequest(d, "m", limits)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		most float64
		do   func()
	}{
		"a request": {1, func() { _, _ = wire.EncodeRequest(req, wire.Transient, limits) }},
		"a reply":   {0, func() { _ = wire.EncodeReply(got, reply, wire.Transient, limits) }},
		"metadata":  {0, func() { _, _ = wire.DecodeMeta("warren/2r;ce;rno_route;on;w15o;i4711;p;xabc;n2;t1;d1;Z;z") }},
	} {
		if n := testing.AllocsPerRun(100, test.do); n > test.most {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
