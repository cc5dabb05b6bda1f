package warren_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
)

func TestMethodNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"a", "orders.getAll", "rpc_queue", "users-v2.Get", "0", ".", "..", "-", "dead", "a.dead.b", "x.deadly", "amq", "warren",
		"my.amq.x", "Amq.x", "Warren.x", strings.Repeat("m", warren.MaxMethod),
	} {
		if err := warren.CheckMethod(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, why := range map[string]string{
		"":                                      "empty",
		strings.Repeat("m", warren.MaxMethod+1): "201 bytes",
		"a b":                                   "byte 1",
		"a/b":                                   "byte 1",
		"a\x00":                                 "byte 1",
		"größe":                                 "byte 2",
		"a\n":                                   "byte 1",
		"a*":                                    "byte 1",
		"#":                                     "byte 0",
		"amq.rabbitmq.reply-to":                 `prefix "amq."`,
		"amq.":                                  `prefix "amq."`,
		"warren.reply.1":                        `prefix "warren."`,
		"orders.dead":                           `suffix ".dead"`,
		".dead":                                 `suffix ".dead"`,
	} {
		checkRefused(t, name, why, warren.CheckMethod(name))
	}
}

func TestCallIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"1", " ", "~", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "order 7; paid=yes", strings.Repeat("i", warren.MaxCallID),
	} {
		if err := warren.CheckCallID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for id, why := range map[string]string{
		"":                                      "empty",
		strings.Repeat("i", warren.MaxCallID+1): "129 bytes",
		"a\nb":                                  "byte 1",
		"\x7f":                                  "byte 0",
		"ab\x00":                                "byte 2",
		"é":                                     "byte 0",
		"\xff":                                  "byte 0",
	} {
		checkRefused(t, id, why, warren.CheckCallID(id))
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"", "no_route", "a1_", strings.Repeat("r", warren.MaxReason)} {
		if err := warren.CheckReason(reason); err != nil {
			t.Errorf("%q: %v", reason, err)
		}
	}
	for reason, why := range map[string]string{
		strings.Repeat("r", warren.MaxReason+1): "65 bytes",
		"No_route":                              "byte 0",
		"no-route":                              "byte 2",
		"no route":                              "byte 2",
		"a;k=call":                              "byte 1",
		"a=":                                    "byte 1",
		"ä":                                     "byte 0",
	} {
		checkRefused(t, reason, why, warren.CheckReason(reason))
	}
}

func TestOwnReasonsAreReasons(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, reason := range []string{
		warren.ReasonNoRoute, warren.ReasonNoServer, warren.ReasonNotConnected, warren.ReasonBlocked, warren.ReasonNacked,
		warren.ReasonConnectionLost, warren.ReasonReplyQueueLost, warren.ReasonClientClosed, warren.ReasonQueueFull,
		warren.ReasonRequestTooLarge, warren.ReasonReplyTooLarge, warren.ReasonBadRequest, warren.ReasonBadReply,
		warren.ReasonMalformedBody, warren.ReasonUnsupportedMedia, warren.ReasonInvalid, warren.ReasonMissingIdentifier,
		warren.ReasonKeyReused, warren.ReasonExpired, warren.ReasonPanic, warren.ReasonBreakerOpen,
		warren.ReasonBudgetExhausted, warren.ReasonPoisoned, warren.ReasonInterrupted, warren.ReasonReplyNotRetained,
		warren.ReasonNotPermitted, warren.ReasonOverloaded,
	} {
		if err := warren.CheckReason(reason); err != nil || reason == "" || seen[reason] {
			t.Errorf("%q: %v, seen before: %v", reason, err, seen[reason])
		}
		seen[reason] = true
	}
}

// checkRefused demands an error that says why, in one line that does not repeat
// whatever a stranger sent.
func checkRefused(t *testing.T, input, why string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%q is accepted", input)
		return
	}
	text := err.Error()
	if !strings.HasPrefix(text, "warren: ") || !strings.Contains(text, why) || strings.ContainsAny(text, "\r\n") || len(text) > 400 {
		t.Errorf("%q is refused with %q; want one short line with %q", input, text, why)
	}
}

// One string over 255 bytes ends a connection with every call on it, and text
// that is not what it seems ends in somebody's log.
func TestAcceptedNamesFitTheWire(t *testing.T) {
	t.Parallel()
	anything := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[A-Za-z0-9._-]{0,220}`),
		rapid.StringMatching(`(amq|warren|x)\.[a-z]{0,200}(\.dead)?`),
		rapid.StringMatching(`[ -~]{0,140}`),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	// The longest names that are made of a method's.
	const control, dead = "warren.control.", ".dead"
	rapid.Check(t, func(t *rapid.T) {
		s := anything.Draw(t, "name")
		if warren.CheckMethod(s) == nil {
			if s == "" || len(control+s+dead) > 255 || !utf8.ValidString(s) || strings.HasPrefix(s, "amq.") ||
				strings.HasPrefix(s, "warren.") || strings.HasSuffix(s, ".dead") {
				t.Fatalf("the method %q is accepted", s)
			}
		}
		if warren.CheckCallID(s) == nil && (s == "" || len(s) > warren.MaxCallID || !printable(s)) {
			t.Fatalf("the call ID %q is accepted", s)
		}
		if warren.CheckReason(s) == nil && (len(s) > warren.MaxReason || strings.ContainsAny(s, ";= ") || !printable(s)) {
			t.Fatalf("the reason %q is accepted", s)
		}
	})
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
