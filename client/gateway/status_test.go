package gateway

import (
	"bytes"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/warren-rpc/warren"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A reason that is added to the vocabulary needs a status here, and a row there.
func TestEveryCodeAndReasonHasItsStatusAndItsRow(t *testing.T) {
	t.Parallel()
	doc := readFile(t, "../../docs/gateway.md")
	row := func(name string, status int) {
		t.Helper()
		if !regexp.MustCompile(`(?m)^\| .*` + "`" + name + "`" + `.* \| ` + http.StatusText(status)[:0] + regexp.QuoteMeta(itoa(status)) + `\b`).MatchString(doc) {
			t.Errorf("docs/gateway.md has no row of %s with the status %d", name, status)
		}
	}
	for code := warren.CodeCanceled; code <= warren.CodeUnauthenticated; code++ {
		k, there := byCode[code]
		if !there || k.text == "" || title(k.status) == "" {
			t.Errorf("%v: %+v", code, k)
		}
		row(code.String(), k.status)
	}
	reasons := regexp.MustCompile(`(?m)^\s*(Reason\w+)\s+= "(\w+)"`).FindAllStringSubmatch(readFile(t, "../../error.go"), -1)
	if len(reasons) < 20 {
		t.Fatalf("%d reasons were found", len(reasons))
	}
	for _, found := range reasons {
		k, there := byReason[found[2]]
		if !there || k.text == "" || title(k.status) == "" || !k.code.Valid() {
			t.Errorf("%s: %+v", found[1], k)
		}
		row(found[2], k.status)
	}
	if len(reasons) != len(byReason) {
		t.Errorf("there are %d reasons, and %d rows", len(reasons), len(byReason))
	}
	for _, found := range regexp.MustCompile(`(?m)^\s*Reason\w+\s+= "(\w+)"\s+// \w+, (\d+)`).FindAllStringSubmatch(readFile(t, "status.go"), -1) {
		if !regexp.MustCompile(`(?m)^\| .*` + "`" + found[1] + "`" + `.* \| ` + found[2] + ` \|`).MatchString(doc) {
			t.Errorf("docs/gateway.md has no row of the gateway's %s with the status %s", found[1], found[2])
		}
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

func TestRetryAfterIsAdvisedWhereNothingWasExecuted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    warren.Error
		want int
	}{
		{warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonNoServer, Outcome: warren.NotExecuted}, 1},
		{warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonBreakerOpen, Outcome: warren.NotExecuted, RetryAfter: 4100 * time.Millisecond}, 5},
		{warren.Error{Code: warren.CodeResourceExhausted, Reason: warren.ReasonOverloaded, Outcome: warren.NotExecuted, RetryAfter: time.Millisecond}, 1},
		{warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonConnectionLost}, 0},
		{warren.Error{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, RetryAfter: -1}, 0},
		{warren.Error{Code: warren.CodeResourceExhausted, Outcome: warren.Executed}, 0},
		{warren.Error{Code: warren.CodeNotFound, Outcome: warren.NotExecuted}, 0},
		{warren.Error{Code: warren.CodeResourceExhausted, Outcome: warren.Executed, RetryAfter: 2 * time.Second}, 2},
		{warren.Error{Code: warren.CodeCanceled, Reason: warren.ReasonClientClosed, Outcome: warren.NotExecuted}, 1},
	} {
		if p := problemOf(&c.e, false); p.retryAfter != c.want {
			t.Errorf("%v: %d; want %d", &c.e, p.retryAfter, c.want)
		}
	}
}

// What this side of the wire says may name queues, hosts and users.
func TestWordsOfThisSideAreNotTold(t *testing.T) {
	t.Parallel()
	for code := warren.Code(0); code <= warren.CodeUnauthenticated+1; code++ {
		for reason := range byReason {
			p := problemOf(&warren.Error{Code: code, Reason: reason, Message: "secret", Details: map[string]string{"k": "secret"}}, false)
			if p.status < 400 || p.detail == "" || strings.Contains(p.detail, "secret") || p.details != nil {
				t.Fatalf("%v/%s: %+v", code, reason, p)
			}
		}
	}
}

func TestCallIDsOfDifferentRequestsDiffer(t *testing.T) {
	t.Parallel()
	same := func(a, b, c, d, e, f string, s, z []byte) bool {
		one, other := callID(s, a, b, c), callID(z, d, e, f)
		return (one == other) == (a == d && b == e && c == f && bytes.Equal(s, z)) && warren.CheckCallID(one) == nil
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
	for _, pair := range [][2][3]string{
		{{"a", "bc", "d"}, {"ab", "c", "d"}}, {{"a", "b", "cd"}, {"a", "bc", "d"}}, {{"", "ab", ""}, {"a", "b", ""}}, {{"", "", "a"}, {"a", "", ""}},
	} {
		if a, b := pair[0], pair[1]; callID(nil, a[0], a[1], a[2]) == callID(nil, b[0], b[1], b[2]) {
			t.Errorf("%q", pair)
		}
	}
	// They are told by servers that remember: what they were they must stay.
	for id, secret := range map[string]string{
		"4987e2d5c56763aba93d7a2611c7d1a25075e23cb50bbcc2272e9c30a4a1b483": "", "ad7884bd8dc56cd7d0e626cee6a4e6f75803f3b044a84ec80850123dd31ccb8b": "0123456789abcdef",
	} {
		if got := callID([]byte(secret), "ada", "POST /orders", "k-1"); got != id {
			t.Errorf("with the secret %q the ID is %s", secret, got)
		}
	}
}

func TestTraceParentsAreThoseOfW3C(t *testing.T) {
	t.Parallel()
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]bool{
		good: true, "cc" + good[2:] + "-more": true, "cc" + good[2:]: true, good + "-more": false, "ff" + good[2:]: false, "cc" + good[2:] + "x": false,
		"": false, strings.ToUpper(good): false, good[:54]: false, "00-" + strings.Repeat("0", 32) + good[35:]: false,
		good[:36] + strings.Repeat("0", 16) + good[52:]: false, good[:10] + "x" + good[11:]: false, "cc" + good[2:] + "-\n": false,
	} {
		if traceParent(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
