package warren_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
)

// The numbers are gRPC's and the names are the wire's: neither may ever change.
var codes = map[warren.Code]string{
	1:  "canceled",
	2:  "unknown",
	3:  "invalid_argument",
	4:  "deadline_exceeded",
	5:  "not_found",
	6:  "already_exists",
	7:  "permission_denied",
	8:  "resource_exhausted",
	9:  "failed_precondition",
	10: "aborted",
	11: "out_of_range",
	12: "unimplemented",
	13: "internal",
	14: "unavailable",
	15: "data_loss",
	16: "unauthenticated",
}

func TestCodesKeepTheirNumbersAndNames(t *testing.T) {
	t.Parallel()
	if len(codes) != 16 {
		t.Fatalf("the table has %d codes; want 16", len(codes))
	}
	for code, name := range codes {
		if !code.Valid() || code.String() != name {
			t.Errorf("Code(%d) is %q, valid %v; want %q", code, code, code.Valid(), name)
		}
		if parsed, err := warren.ParseCode(name); err != nil || parsed != code {
			t.Errorf("ParseCode(%q) = %v, %v; want %d", name, parsed, err, code)
		}
	}
}

func TestCodeTextGoesThereAndBack(t *testing.T) {
	t.Parallel()
	for n := range 256 {
		code := warren.Code(n)
		text, err := code.MarshalText()
		if _, known := codes[code]; !known {
			if err == nil || code.Valid() {
				t.Errorf("%v is taken for a code: %q", code, text)
			}
			if !strings.HasPrefix(code.String(), "code(") {
				t.Errorf("Code(%d).String() = %q", n, code)
			}
			continue
		}
		var back warren.Code
		if err != nil || back.UnmarshalText(text) != nil || back != code {
			t.Errorf("%v became %q and then %v", code, text, back)
		}
	}
}

func TestOutcomeTextGoesThereAndBack(t *testing.T) {
	t.Parallel()
	names := map[warren.Outcome]string{
		warren.Unknown: "unknown", warren.NotExecuted: "not_executed", warren.Executed: "executed",
	}
	for n := range 256 {
		outcome := warren.Outcome(n)
		text, err := outcome.MarshalText()
		name, known := names[outcome]
		if !known {
			if err == nil || !strings.HasPrefix(outcome.String(), "outcome(") {
				t.Errorf("Outcome(%d) is taken for an outcome: %q, %q", n, text, outcome)
			}
			continue
		}
		if err != nil || string(text) != name || outcome.String() != name {
			t.Errorf("Outcome(%d) is %q, %v; want %q", n, text, err, name)
		}
		back := warren.Outcome(99)
		if back.UnmarshalText(text) != nil || back != outcome {
			t.Errorf("%q became %v", text, back)
		}
	}
}

func TestOnlyExactNamesAreParsed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Canceled", "cancelled", " internal", "internal ", "code(13)", "13", strings.Repeat("x", 1<<16)} {
		code := warren.CodeAborted
		if err := code.UnmarshalText([]byte(name)); err == nil {
			t.Errorf("%.40q was parsed as the code %v", name, code)
		} else if len(err.Error()) > 200 {
			t.Errorf("the error repeats %d bytes of what a stranger sent", len(err.Error()))
		}
		if code != warren.CodeAborted {
			t.Errorf("a failed UnmarshalText set the code to %v", code)
		}
		outcome := warren.Executed
		if outcome.UnmarshalText([]byte(name)) == nil || outcome != warren.Executed {
			t.Errorf("%.40q was parsed as the outcome %v", name, outcome)
		}
	}
}

func TestCodesAndOutcomesAreWordsInJSON(t *testing.T) {
	t.Parallel()
	type report struct {
		Code    warren.Code    `json:"code"`
		Outcome warren.Outcome `json:"outcome"`
	}
	text, err := json.Marshal(report{warren.CodeUnavailable, warren.NotExecuted})
	if err != nil || string(text) != `{"code":"unavailable","outcome":"not_executed"}` {
		t.Fatalf("marshalled as %s, %v", text, err)
	}
	var back report
	if err := json.Unmarshal(text, &back); err != nil || back != (report{warren.CodeUnavailable, warren.NotExecuted}) {
		t.Fatalf("unmarshalled as %+v, %v", back, err)
	}
}

func TestOutcomesJoinInAnyOrder(t *testing.T) {
	t.Parallel()
	outcome := rapid.SampledFrom([]warren.Outcome{warren.Unknown, warren.NotExecuted, warren.Executed})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := outcome.Draw(t, "a"), outcome.Draw(t, "b"), outcome.Draw(t, "c")
		if a.Join(b) != b.Join(a) {
			t.Fatalf("%v and %v do not commute", a, b)
		}
		if a.Join(b).Join(c) != a.Join(b.Join(c)) {
			t.Fatalf("%v, %v and %v do not associate", a, b, c)
		}
		if a.Join(a) != a {
			t.Fatalf("%v joined with itself is %v", a, a.Join(a))
		}
	})
}

// What a call may claim follows from its attempts alone, however many there
// were and in whatever order they ended.
func TestJoinedOutcomeClaimsNoMoreThanItsAttempts(t *testing.T) {
	t.Parallel()
	outcome := rapid.SampledFrom([]warren.Outcome{warren.Unknown, warren.NotExecuted, warren.Executed})
	rapid.Check(t, func(t *rapid.T) {
		attempts := rapid.SliceOfN(outcome, 1, 6).Draw(t, "attempts")
		count := map[warren.Outcome]int{}
		joined := attempts[0]
		for i, o := range attempts {
			count[o]++
			if i > 0 {
				joined = joined.Join(o)
			}
		}
		want := warren.Unknown
		switch {
		case count[warren.Executed] > 0:
			want = warren.Executed
		case count[warren.NotExecuted] == len(attempts):
			want = warren.NotExecuted
		}
		if joined != want {
			t.Fatalf("%v join to %v; want %v", attempts, joined, want)
		}
	})
}

func TestUnknownIsTheZeroOutcome(t *testing.T) {
	t.Parallel()
	var e warren.Error
	if e.Outcome != warren.Unknown {
		t.Fatalf("an error that says nothing claims %v", e.Outcome)
	}
	if strange := warren.Outcome(7); strange.Join(warren.NotExecuted) != warren.Unknown {
		t.Fatal("a value that is no outcome proves something")
	}
}
