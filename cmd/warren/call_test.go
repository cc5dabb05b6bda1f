package main

import (
	"bytes"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

var (
	resultKeys  = []string{"ok", "body", "call_id", "attempts", "replayed", "ms"}
	failureKeys = []string{"ok", "code", "reason", "outcome", "message", "call_id", "attempts", "ms"}
)

func TestCallPrintsTheBodyAsItIs(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	serveSamples(t, url)
	for _, c := range []struct{ method, body, want string }{
		{"rpc_queue", "30", "832040"},
		{"rpc_queue", "0", "0"},
		{"rpc_queue", " 92\n", "7540113804746346429"},
		{"users.email", "1", "ada@example.org"},
		{"sample.echo", "", ""},
		{"sample.echo", "two\nlines", "two\nlines"},
		{"sample.sleep", "0", "0"},
	} {
		r := invoke(t, url, "call", c.method, c.body).want(t, 0)
		if r.stdout.String() != c.want || r.said() != "" {
			t.Errorf("%s %q: %q, standard error %q", c.method, c.body, r.stdout.String(), r.stderr.String())
		}
	}
	for _, body := range [][]byte{{}, {0xff, 0x00, '\n'}, bytes.Repeat([]byte("x"), 1<<20)} {
		r := command(url, "call", "sample.echo", "-")
		r.stdin = bytes.NewReader(body)
		if r.start(t).wait(t).want(t, 0).stdout.String() != string(body) {
			t.Errorf("another body than the %d bytes of standard input came back", len(body))
		}
	}
	r := command(url, "call", "sample.echo", "-")
	r.stdin = bytes.NewReader(make([]byte, 1<<20+1))
	r.start(t).wait(t).want(t, exitUsage).wantLine(t)
}

func TestCallPrintsTheResultAsJSON(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	serveSamples(t, url)
	for _, c := range []struct{ contentType, body, want string }{
		{"application/json", `{"a":[1,2.50],"b":"<x>"}`, `{"a":[1,2.50],"b":"<x>"}`},
		{"application/problem+json; charset=utf-8", ` 12345678901234567890 `, `12345678901234567890`},
		{"application/json", `null`, `null`},
		{"application/json", `{"a":`, `"{\"a\":"`},
		{"text/plain", `{"a":1}`, `"{\"a\":1}"`},
		{"", `<é>`, `"<é>"`},
		{"", ``, `""`},
	} {
		r := invoke(t, url, "call", "--json", "--content-type", c.contentType, "--id", "an ID", "--header", "a=b,c=d", "sample.echo", c.body).want(t, 0)
		object := wantKeys(t, r.object(t), resultKeys...)
		if !strings.Contains(r.stdout.String(), `"body":`+c.want+`,"call_id"`) {
			t.Errorf("%s %q: %s", c.contentType, c.body, r.stdout.String())
		}
		if object["ok"] != true || object["call_id"] != "an ID" || object["attempts"] != 1.0 || object["replayed"] != false {
			t.Errorf("the result is %v", object)
		}
		if ms, ok := object["ms"].(float64); !ok || ms <= 0 {
			t.Errorf("ms is %v", object["ms"])
		}
	}
	r := command(url, "call", "--json", "sample.echo", "-", "--content-type", "application/json")
	r.stdin = strings.NewReader("\"\xff\"")
	object := wantKeys(t, r.start(t).wait(t).want(t, 0).object(t), "ok", "body_base64", "call_id", "attempts", "replayed", "ms")
	if object["body_base64"] != "Iv8i" {
		t.Errorf("the result is %v", object)
	}
}

func TestCallFailsAsTheExitCodesSay(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	serveSamples(t, url, "--quiet")
	// A queue without a server.
	send(t, serveSamples(t, rabbit.VHost(t)), syscall.SIGTERM)
	const unreachable = "amqp://guest:guest@127.0.0.1:1/"
	for _, c := range []struct {
		code                       int
		errorCode, reason, outcome string
		url                        string
		args                       []string
	}{
		// The server's and the client's clocks end this one at the same moment.
		{exitDeadline, "deadline_exceeded", "", "unknown|executed", url, []string{"sample.sleep", "60000", "--timeout", "3s"}},
		{exitDeadline, "deadline_exceeded", "asked_to", "executed", url, []string{"sample.fail", "deadline_exceeded"}},
		{exitNoServer, "unavailable", "no_route", "not_executed", url, []string{"no.such.method"}},
		{exitNoServer, "unavailable", "no_route", "not_executed", url, []string{"no.such.method", "--wait"}},
		{exitRemote, "not_found", "no_such_user", "executed", url, []string{"users.email", "77"}},
		{exitRemote, "unavailable", "asked_to", "executed", url, []string{"sample.fail", "unavailable"}},
		{exitRemote, "invalid_argument", "invalid", "not_executed", url, []string{"rpc_queue", "93"}},
		{exitRemote, "invalid_argument", "invalid", "not_executed", url, []string{"rpc_queue", "--", "-1"}},
		{exitRemote, "invalid_argument", "malformed_body", "not_executed", url, []string{"rpc_queue", "ten"}},
		{exitRemote, "invalid_argument", "malformed_body", "not_executed", url, []string{"sample.fail", "ten"}},
		{exitBroker, "unavailable", "not_connected", "not_executed", unreachable, []string{"rpc_queue", "--timeout", "300ms"}},
		{exitBroker, "unavailable", "not_connected", "not_executed", silentBroker(t), []string{"rpc_queue", "--timeout", "500ms"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			r := invoke(t, c.url, append([]string{"call", "--json", "--quiet"}, c.args...)...).want(t, c.code)
			keys := slices.Clone(failureKeys)
			if c.code != exitBroker {
				keys = append(keys, "issued") // the call was made
			}
			if c.outcome != "not_executed" {
				keys = append(keys, "proof") // there is something to ask about
			}
			object := wantKeys(t, r.object(t), keys...)
			if object["ok"] != false || object["code"] != c.errorCode || object["reason"] != c.reason {
				t.Errorf("the error is %v", object)
			}
			if outcome, ok := object["outcome"].(string); !ok || !slices.Contains(strings.Split(c.outcome, "|"), outcome) {
				t.Errorf("the error is %v", object)
			}
			if id, ok := object["call_id"].(string); !ok || len(id) != 36 || object["message"] == "" {
				t.Errorf("the error is %v", object)
			}
			if r.said() != "" {
				t.Errorf("standard error: %q", r.stderr.String())
			}
			r = invoke(t, c.url, append([]string{"call", "--quiet"}, c.args...)...).want(t, c.code)
			if text := r.wantLine(t); !strings.Contains(text, c.errorCode) || r.stdout.String() != "" {
				t.Errorf("standard error: %s, standard output: %q", text, r.stdout.String())
			}
		})
	}
	t.Run("sample.panic", func(t *testing.T) {
		t.Parallel()
		object := invoke(t, url, "call", "--json", "sample.panic").want(t, exitRemote).object(t)
		wantKeys(t, object, append(slices.Clone(failureKeys), "incident", "issued", "proof")...)
		if object["code"] != "internal" || object["reason"] != "panic" {
			t.Errorf("the error is %v", object)
		}
	})
}

// silentBroker accepts connections and says nothing.
func silentBroker(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "amqp://guest:guest@" + l.Addr().String() + "/"
}

func TestCallOfAMethodWithoutServersFailsAtOnceOrWaits(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	first := serveSamples(t, url)
	send(t, first, syscall.SIGTERM)
	first.wait(t).want(t, 0)

	object := invoke(t, url, "call", "--json", "rpc_queue", "1").want(t, exitNoServer).object(t)
	if object["reason"] != "no_server" || object["outcome"] != "not_executed" {
		t.Errorf("the error is %v", object)
	}
	waiting := command(url, "call", "--wait", "--timeout", "1m", "rpc_queue", "10").start(t)
	patience.Eventually(t, "the request waits in the queue", func() bool { return queue(t, url, "rpc_queue").Ready == 1 })
	serveSamples(t, url)
	if out := waiting.wait(t).want(t, 0).stdout.String(); out != "55" {
		t.Errorf("the reply is %q", out)
	}
}

func TestConnectingCountsAgainstTheTimeout(t *testing.T) {
	t.Parallel()
	began := time.Now()
	r := invoke(t, silentBroker(t), "call", "--timeout", "1200ms", "x").want(t, exitBroker)
	if took := time.Since(began); took < 1200*time.Millisecond || took > patience.Soon/2 {
		t.Errorf("it took %v", took)
	}
	lines := strings.Split(strings.TrimSpace(r.stderr.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "still connecting") {
		t.Errorf("standard error: %q", lines)
	}
}

func TestInterruptedCallEndsWith130(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	serveSamples(t, url)
	call := sleeping(t, url, "60000")
	send(t, call, syscall.SIGINT)
	if object := call.wait(t).want(t, exitInterrupted).object(t); object["code"] != "canceled" || object["outcome"] != "unknown" {
		t.Errorf("the error is %v", object)
	}
	connecting := command(silentBroker(t), "call", "x").start(t)
	patience.Eventually(t, "it connects", func() bool { return strings.Contains(connecting.stderr.String(), "still connecting") })
	send(t, connecting, syscall.SIGINT)
	connecting.wait(t).want(t, exitInterrupted)
}

func TestEveryErrorOfACallHasAnExitCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    warren.Error
		want int
	}{
		{warren.Error{Code: warren.CodeDeadlineExceeded}, exitDeadline},
		{warren.Error{Code: warren.CodeDeadlineExceeded, Remote: true, Reason: warren.ReasonExpired}, exitDeadline},
		{warren.Error{Code: warren.CodeDeadlineExceeded, Reason: warren.ReasonNotConnected}, exitBroker},
		{warren.Error{Code: warren.CodePermissionDenied, Reason: warren.ReasonNotPermitted}, exitBroker},
		{warren.Error{Code: warren.CodePermissionDenied, Remote: true}, exitRemote},
		{warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonBlocked}, exitBroker},
		{warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute}, exitNoServer},
		{warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute, Remote: true}, exitRemote},
		{warren.Error{Code: warren.CodeInvalidArgument, Reason: warren.ReasonBadRequest}, exitUsage},
		{warren.Error{Code: warren.CodeInternal, Reason: warren.ReasonBadReply}, exitRemote},
		{warren.Error{Code: warren.CodeResourceExhausted, Reason: warren.ReasonReplyTooLarge}, exitRemote},
		{warren.Error{Code: warren.CodeResourceExhausted, Reason: warren.ReasonRequestTooLarge}, exitUsage},
		{warren.Error{Code: warren.CodeCanceled}, exitInterrupted},
		{warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonReplyQueueLost}, exitInternal},
	} {
		if got := callExitCode(&c.e); got != c.want {
			t.Errorf("%v: %d, want %d", &c.e, got, c.want)
		}
	}
}

func TestFailureKeepsWhatTheServerAdvises(t *testing.T) {
	t.Parallel()
	e := warren.Errorf(warren.CodeUnavailable, "later").WithRetryAfter(1500*time.Millisecond).WithDetail("k", "v")
	text, err := json.Marshal(newCallFailure(e, time.Millisecond))
	if err != nil || !strings.Contains(string(text), `"retry_after_ms":1500,"details":{"k":"v"}`) {
		t.Errorf("%s, %v", text, err)
	}
}
