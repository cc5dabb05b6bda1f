package wire_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

func kinds() *rapid.Generator[wire.Kind] {
	return rapid.SampledFrom([]wire.Kind{wire.KindCall, wire.KindReply, wire.KindResolve, wire.KindCancel})
}

// instants draws what metadata can say: whole milliseconds to the year 9999.
func instants() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "no instant") {
			return time.Time{}
		}
		return time.UnixMilli(rapid.Int64Range(1, 253402300799999).Draw(t, "ms"))
	})
}

// nonces draws what peers may write, and none.
func nonces() *rapid.Generator[wire.Nonce] {
	return rapid.Map(rapid.StringMatching(`[0-9a-z]{0,16}`), func(s string) (n wire.Nonce) {
		copy(n[:], s)
		return n
	})
}

func metas() *rapid.Generator[wire.Meta] {
	return rapid.Custom(func(t *rapid.T) wire.Meta {
		m := wire.Meta{
			Version: wire.V1, Kind: kinds().Draw(t, "kind"), Attempt: rapid.IntRange(0, 1_000_000).Draw(t, "attempt"),
			Deadline: instants().Draw(t, "deadline"), Issued: instants().Draw(t, "issued"),
			Nonce:    nonces().Draw(t, "nonce"),
			Code:     warren.Code(rapid.IntRange(0, 16).Draw(t, "code")),
			Replayed: rapid.Bool().Draw(t, "replayed"),
		}
		if m.Code != 0 {
			m.Reason = rapid.StringMatching(`[a-z0-9_]{0,64}`).Draw(t, "reason")
			m.Outcome = warren.Outcome(rapid.IntRange(0, 2).Draw(t, "outcome"))
			m.RetryAfter = time.Duration(rapid.Int64Range(-1, warren.MaxRetryAfter.Milliseconds()).Draw(t, "retry")) * time.Millisecond
			m.Incident = rapid.StringMatching(`([!-:<>-~]{0,36})`).Draw(t, "incident")
		}
		if m.Kind <= wire.KindReply && rapid.Bool().Draw(t, "version 2") {
			m.Version, m.Attempt = wire.V2, max(m.Attempt, 1)
			if m.Issued.IsZero() || !m.Deadline.After(m.Issued) {
				m.Deadline = time.Time{}
			}
		}
		return m
	})
}

func TestMetaGoesThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := metas().Draw(t, "meta")
		typ := m.Encode()
		if len(typ) > 255 || !wire.IsWarren(typ) || strings.IndexFunc(typ, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
			t.Fatalf("%+v is written as %q, %d bytes", m, typ, len(typ))
		}
		back, err := wire.DecodeMeta(typ)
		if err != nil {
			t.Fatalf("%q: %v", typ, err)
		}
		if back != m {
			t.Fatalf("%+v became %q and then %+v", m, typ, back)
		}
	})
}

// The longest metadata that there can be still is a short string.
func TestLongestMetaFits(t *testing.T) {
	t.Parallel()
	const most = 1<<63 - 1
	m := wire.Meta{
		Kind: wire.KindResolve, Attempt: -most, Deadline: time.UnixMilli(-most), Issued: time.UnixMilli(-most),
		Code: warren.CodeFailedPrecondition, Outcome: warren.NotExecuted, RetryAfter: most, Replayed: true,
		Reason: strings.Repeat("r", 1000), Incident: strings.Repeat("i", 1000), Nonce: nonce(strings.Repeat("x", 16)),
	}
	if typ := m.Encode(); len(typ) > 255 {
		t.Fatalf("%d bytes: %s", len(typ), typ)
	}
	m.Version, m.Kind, m.Attempt, m.Deadline = wire.V2, wire.KindCall, most, time.UnixMilli(most)
	m.Code = warren.CodeUnauthenticated
	if typ := m.Encode(); len(typ) > 200 {
		t.Fatalf("%d bytes: %s", len(typ), typ)
	}
}

// A context's deadline may be any instant; what is written of it must be read.
func TestWhatIsOutOfBoundsIsWrittenAsTheBound(t *testing.T) {
	t.Parallel()
	const most = 253402300799999
	for instant, want := range map[time.Time]int64{
		time.UnixMilli(1):                            1,
		time.UnixMilli(0):                            1,
		time.UnixMilli(-5):                           1,
		time.Unix(0, 1):                              1,
		time.Unix(-1<<63, 0):                         1,
		time.UnixMilli(most):                         most,
		time.UnixMilli(most + 1):                     most,
		time.Unix(1<<62, 0):                          most,
		time.Unix(1<<63-1, 0):                        most,
		time.Unix(-9223372036854776, 0):              1,
		time.Unix(9223372036854776, 0):               most, // UnixMilli would overflow
		time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC): most,
	} {
		m := wire.Meta{Kind: wire.KindCall, Deadline: instant, Issued: instant}
		back, err := wire.DecodeMeta(m.Encode())
		if err != nil || back.Deadline.UnixMilli() != want || back.Issued.UnixMilli() != want {
			t.Errorf("%v (%d s) is written as %q; want %d; %v", instant, instant.Unix(), m.Encode(), want, err)
		}
	}
	for attempt, want := range map[int]int{-1: 1, 1: 1, 1_000_000: 1_000_000, 1_000_001: 1_000_000, 1<<31 - 1: 1_000_000} {
		m := wire.Meta{Kind: wire.KindCall, Attempt: attempt}
		if back, err := wire.DecodeMeta(m.Encode()); err != nil || back.Attempt != want {
			t.Errorf("attempt %d is written as %q; want %d; %v", attempt, m.Encode(), want, err)
		}
	}
}

// What a handler says of itself must not become metadata that it did not mean.
func TestHostileReasonAndIncidentStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	hostile := rapid.OneOf(
		bytesAsText(), rapid.String(),
		rapid.SampledFrom([]string{";k=call", "x;o=not_executed", ";;;===", "=", "\x00\xff;", "ä;ö=ü", strings.Repeat("€", 100)}),
	)
	rapid.Check(t, func(t *rapid.T) {
		m := wire.Meta{
			Kind: wire.KindReply, Code: warren.CodeInternal, Outcome: warren.Executed,
			Reason: hostile.Draw(t, "reason"), Incident: hostile.Draw(t, "incident"),
		}
		typ := m.Encode()
		if len(typ) > 255 {
			t.Fatalf("%d bytes: %q", len(typ), typ)
		}
		fields := strings.Split(typ, ";")
		if len(fields) != 4+count(m.Reason)+count(m.Incident) {
			t.Fatalf("%+v is written as %q", m, typ)
		}
		// A reason that is none is the encoder of errors' business; the rest of
		// the metadata must be read as it was meant.
		m.Reason = ""
		back, err := wire.DecodeMeta(m.Encode())
		if err != nil || back.Kind != m.Kind || back.Code != m.Code || back.Outcome != m.Outcome || len(back.Incident) > warren.MaxIncident {
			t.Fatalf("%q is read as %+v, %v", m.Encode(), back, err)
		}
	})
}

func count(s string) int {
	if s == "" {
		return 0
	}
	return 1
}

func TestRetryAfterIsRoundedUpAndBounded(t *testing.T) {
	t.Parallel()
	for in, want := range map[time.Duration]time.Duration{
		1:                        time.Millisecond,
		time.Millisecond:         time.Millisecond,
		time.Millisecond + 1:     2 * time.Millisecond,
		warren.MaxRetryAfter - 1: warren.MaxRetryAfter,
		warren.MaxRetryAfter + 1: warren.MaxRetryAfter,
		1<<63 - 1:                warren.MaxRetryAfter,
		-1:                       -time.Millisecond,
		-(1 << 63):               -time.Millisecond,
	} {
		m := wire.Meta{Kind: wire.KindReply, Code: warren.CodeUnavailable, RetryAfter: in}
		back, err := wire.DecodeMeta(m.Encode())
		if err != nil || back.RetryAfter != want {
			t.Errorf("%v became %v, %v; want %v", in, back.RetryAfter, err, want)
		}
	}
}

func TestMetadataThatIsWrongIsRefused(t *testing.T) {
	t.Parallel()
	for typ, why := range map[string]string{
		"warren/":                                "version",
		"warren/2":                               "version",
		"warren/2;k=call":                        "version",
		"warren/20c":                             "version",
		"warren/2.1c":                            "version",
		"warren/2C":                              "version",
		"warren/3c":                              "version",
		"warren/2q":                              "not a kind",
		"warren/2q;t1":                           "not a kind",
		"warren/2z":                              "not a kind",
		"warren/2cr":                             "an item",
		"warren/2c;":                             "an item",
		"warren/2c;;t1":                          "an item",
		"warren/2c;t1;":                          "an item",
		"warren/2c t1":                           "an item",
		"warren/2c;t1;t1":                        "twice",
		"warren/2c;z;z":                          "twice",
		"warren/2c;t":                            "base 36",
		"warren/2c;t0":                           "base 36",
		"warren/2c;t01":                          "base 36",
		"warren/2c;tA":                           "base 36",
		"warren/2c;t=1":                          "base 36",
		"warren/2c;t-1":                          "base 36",
		"warren/2c;t+1":                          "base 36",
		"warren/2c;t2htner8qo0":                  "range",
		"warren/2c;tzzzzzzzzzzzzzzzzzzzz":        "range",
		"warren/2c;n0":                           "base 36",
		"warren/2c;nlflt":                        "range",
		"warren/2c;d1":                           "no issue time",
		"warren/2c;tlflr;d2htner8qnz":            "range",
		"warren/2c;x":                            "bytes long",
		"warren/2c;xA":                           "0-9a-z",
		"warren/2r;c":                            "base 36",
		"warren/2r;c-1":                          "base 36",
		"warren/2r;cd;rA":                        "reason",
		"warren/2r;cd;o":                         "outcome",
		"warren/2r;cd;ou":                        "outcome",
		"warren/2r;cd;oexecuted":                 "outcome",
		"warren/2r;cd;w-2":                       "base 36",
		"warren/2r;cd;w":                         "base 36",
		"warren/2r;cd;ia b":                      "incident",
		"warren/2r;cd;r":                         "empty",
		"warren/2r;cd;i":                         "empty",
		"warren/2r;p1":                           "no value",
		"warren/10;k=call":                       "version",
		"warren/1.1;k=call":                      "version",
		"warren/1k=call":                         "version",
		"warren/1":                               "kind",
		"warren/1;":                              "kind",
		"warren/1;n=1":                           "kind",
		"warren/1;k":                             "key=value",
		"warren/1;=call":                         "key=value",
		"warren/1;;k=call":                       "key=value",
		"warren/1;k=":                            "kind",
		"warren/1;k=CALL":                        "kind",
		"warren/1;k=call;k=call":                 "twice",
		"warren/1;k=call;z=1;z=1":                "twice",
		"warren/1;k=call;n=0":                    "range",
		"warren/1;k=call;n=-1":                   "range",
		"warren/1;k=call;n=1000001":              "range",
		"warren/1;k=call;n=1.5":                  "syntax",
		"warren/1;k=call;n=99999999999999999999": "range",
		"warren/1;k=call;d=0":                    "range",
		"warren/1;k=call;d=-5":                   "range",
		"warren/1;k=call;d=253402300800000":      "range",
		"warren/1;k=call;d=9223372036854775807":  "range",
		"warren/1;k=call;t=":                     "syntax",
		"warren/1;k=call;t= 1":                   "syntax",
		"warren/1;k=reply;c=internal;r=A":        "reason",
		"warren/1;k=reply;c=internal;o=maybe":    "outcome",
		"warren/1;k=reply;c=internal;w=soon":     "syntax",
		"warren/1;k=reply;c=internal;i=a b":      "incident",
		"warren/1;k=reply;c=internal;i=" + strings.Repeat("i", 37): "incident",
	} {
		m, err := wire.DecodeMeta(typ)
		if err == nil {
			t.Errorf("%q is read as %+v", typ, m)
			continue
		}
		if text := err.Error(); !strings.Contains(text, why) || len(text) > 300 {
			t.Errorf("%q is refused with %q; want %q in it", typ, text, why)
		}
		if m != (wire.Meta{}) {
			t.Errorf("%q is refused, and read as %+v", typ, m)
		}
	}
}

func TestMetadataOfLaterVersionsIsReadAsFarAsItIsKnown(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]wire.Meta{
		"warren/1;k=reply;zz=1;zz=2;K=call;9=x;c=quota_exceeded;o=executed;z=new;p=yes;w=99999999999999": {Version: wire.V1},
		"warren/2r;Z1;Z2;9x;ch;oe;znew;wzzzzzzzzzzzzzzzzzzzzzzzzzz;\xff\x00=":                            {Version: wire.V2, Attempt: 1},
	} {
		want.Kind, want.Code, want.Outcome, want.RetryAfter = wire.KindReply, warren.CodeUnknown, warren.Executed, warren.MaxRetryAfter
		if m, err := wire.DecodeMeta(typ); err != nil || m != want {
			t.Errorf("%q is read as %+v, %v; want %+v", typ, m, err, want)
		}
	}
}

func TestPlainTypesAreNotOurs(t *testing.T) {
	t.Parallel()
	for typ, ours := range map[string]bool{
		"warren/2c": true, "warren2c": false, "": false, "warren": false, "Warren/1": false, " warren/1": false, "order.created": false, "x-warren/1": false,
		"warren/": true, "warren/1;k=call": true, "warren/999": true,
	} {
		if wire.IsWarren(typ) != ours {
			t.Errorf("IsWarren(%q) = %v", typ, !ours)
		}
	}
}

// FuzzDecodeMeta: nothing that a peer writes makes a reader panic, and what it
// reads it can write again to the same effect.
func FuzzDecodeMeta(f *testing.F) {
	for _, seed := range []string{
		"warren/1;k=call;n=1;d=1700000000000;t=1699999990000",
		"warren/1;k=reply;n=2;c=unavailable;r=no_route;o=not_executed;w=1500;i=6ba7b810-9dad-11d1-80b4-00c04fd430c8;p=1",
		"warren/2c;tlqk3j2a8", "warren/2c;tlqk3j2a8;d7ps;n2;x4q", "warren/2r", "warren/2r;ce;rno_route;on;w15o;i4711;p",
		"warren/2c;z;Z1;Z2;znew", "warren/2r;w-1;x0", "warren/2c;d1;t1", "warren/2", "warren/2m",
		"warren/1;k=cancel", "warren/1", "warren/2;k=call", "warren/1;k=call;n=+1;d=0001;p=0", "warren/1;k=reply;r=x;o=executed;w=-7",
		"warren/1;k=reply;c=nonsense", "warren/1;k=call;;", "warren/1;ä=ö;k=call", "warren/1;k=call;w=-9223372036854775808",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typ string) {
		m, err := wire.DecodeMeta(typ)
		if err != nil {
			if m != (wire.Meta{}) {
				t.Fatalf("%q is refused, and read as %+v", typ, m)
			}
			return
		}
		once := m.Encode()
		if len(once) > 255 {
			t.Fatalf("%q is written as %d bytes", typ, len(once))
		}
		again, err := wire.DecodeMeta(once)
		if err != nil || again.Encode() != once {
			t.Fatalf("%q is written as %q and then as %q, %v", typ, once, again.Encode(), err)
		}
		if m.Code == 0 { // without a code there is no error, hence nothing more to say of it
			m.Reason, m.Outcome, m.RetryAfter, m.Incident = "", 0, 0, ""
		}
		if again != m {
			t.Fatalf("%q is read as %+v, and as %+v the second time", typ, m, again)
		}
	})
}
