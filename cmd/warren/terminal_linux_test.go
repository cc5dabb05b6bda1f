package main

import (
	"os"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/amqptest"
)

// onTerminal runs the tool with both its outputs on a terminal of its own, and returns
// what a person sees, with line ends as programs write them.
func onTerminal(t *testing.T, environment []string, url string, args ...string) (seen string, r *tool) {
	t.Helper()
	person, program := terminal(t)
	r = command(url, args...)
	r.cmd.Env = append(append(r.cmd.Env, "TERM=xterm", "NO_COLOR="), environment...)
	r.cmd.Stdout, r.cmd.Stderr = program, program
	var screen buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		chunk := make([]byte, 4096)
		for {
			n, err := person.Read(chunk)
			_, _ = screen.Write(chunk[:n])
			if err != nil { // nobody has the other end any more
				return
			}
		}
	}()
	r.start(t).wait(t)
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	<-read
	return strings.ReplaceAll(screen.String(), "\r\n", "\n"), r
}

func TestCallIsPrettyOnATerminalAlone(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	serveSamples(t, b.URL())
	const body = `{"a":[1,"x"],"b":null}`
	call := []string{"call", "--content-type", "application/json", "sample.echo", body}
	seen, r := onTerminal(t, nil, b.URL(), call...)
	want := "{\n  \x1b[34m\"a\"\x1b[0m: [\n    \x1b[36m1\x1b[0m,\n    \x1b[32m\"x\"\x1b[0m\n  ],\n  \x1b[34m\"b\"\x1b[0m: \x1b[36mnull\x1b[0m\n}\nwarren: answered after "
	if !strings.HasPrefix(seen, want) || r.code != 0 {
		t.Errorf("a terminal shows %q", seen)
	}
	if seen, _ := onTerminal(t, []string{"NO_COLOR=1"}, b.URL(), call...); !strings.HasPrefix(seen, body+"\nwarren: answered after ") {
		t.Errorf("without colours it shows %q", seen)
	}
	if seen, _ := onTerminal(t, nil, b.URL(), "call", "--quiet", "sample.echo", "two\r\nlines"); seen != "two\nlines\n" {
		t.Errorf("text is shown as %q", seen)
	}
	// Servers do not steer the terminal.
	if seen, _ := onTerminal(t, nil, b.URL(), "call", "--quiet", "sample.echo", "\x1b[2J"); seen != "1b 5b 32 4a\n" {
		t.Errorf("what cannot be printed is shown as %q", seen)
	}
	if seen, _ := onTerminal(t, nil, b.URL(), append([]string{"call", "--json"}, call[1:]...)...); !strings.Contains(seen, `"body":`+body+`,"call_id"`) || strings.Contains(seen, "\x1b") {
		t.Errorf("--json is %q", seen)
	}
	if out := invoke(t, b.URL(), call...).want(t, 0).stdout.String(); out != body {
		t.Errorf("a script gets %q", out)
	}
}

func TestTerminalsSayWhatToDoNext(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	serveSamples(t, b.URL(), "--method", "sample.sleep")
	enqueue(t, b.URL(), "orders.place", 0)
	const unreachable = "amqp://guest:guest@127.0.0.1:1/"
	for _, c := range []struct {
		url, args, next string
		code            int
	}{
		{b.URL(), "call nosuch", "`warren queues nosuch`", exitNoServer},
		{b.URL(), "call orders.place", "--wait", exitNoServer},
		{b.URL(), "call --timeout 3s --id order-7 sample.sleep 60000", "`warren ping sample.sleep`", exitDeadline},
		{unreachable, "call --timeout 300ms x", "`warren config`", exitBroker},
		{unreachable, "queues x", "`warren config`", exitBroker},
		{b.URL(), "ping nosuch", "`warren queues nosuch`", exitNoServer},
		{b.URL(), "ping orders.place", "start one", exitNoServer},
	} {
		seen, r := onTerminal(t, nil, c.url, strings.Fields(c.args)...)
		if !strings.Contains(seen, c.next) || r.code != c.code {
			t.Errorf("%s ends with %d and says %q", c.args, r.code, seen)
		}
		if strings.HasPrefix(c.args, "call") && !strings.Contains(seen, "\x1b[31mwarren:\x1b[0m ") {
			t.Errorf("%s: no colour: %q", c.args, seen)
		}
		plain, _ := onTerminal(t, []string{"NO_COLOR=1"}, c.url, strings.Fields(c.args)...)
		if !strings.Contains(plain, c.next) || strings.Contains(plain, "\x1b") {
			t.Errorf("%s: without colours it says %q", c.args, plain)
		}
		script := invoke(t, c.url, strings.Fields(c.args)...).want(t, c.code)
		if all := script.stdout.String() + script.stderr.String(); strings.Contains(all, "`warren") || strings.Contains(all, "\x1b") || strings.Count(all, "\n") > 1 {
			t.Errorf("%s: a script gets %q", c.args, all)
		}
	}
}

func TestJSONIsColouredWithoutBeingChanged(t *testing.T) {
	t.Parallel()
	const text = `{"a\"b": [-1.50e+3, true, "c: \\"], "d": {}, "e": ""}`
	pretty, ok := prettyJSON([]byte(text))
	if !ok || !strings.Contains(pretty, blue.escape(`"a\"b"`)) || !strings.Contains(pretty, cyan.escape("-1.50e+3")) || !strings.Contains(pretty, green.escape(`"c: \\"`)) {
		t.Errorf("it is %q", pretty)
	}
	plain := pretty
	for _, code := range []string{red.escape(""), green.escape(""), blue.escape(""), cyan.escape("")} {
		begin, end := code[:strings.Index(code, "m")+1], "\x1b[0m"
		plain = strings.ReplaceAll(strings.ReplaceAll(plain, begin, ""), end, "")
	}
	if got := strings.Join(strings.Fields(plain), ""); got != strings.ReplaceAll(text, " ", "") && got != strings.Join(strings.Fields(text), "") {
		t.Errorf("%q became %q", text, plain)
	}
	if _, ok := prettyJSON([]byte("{")); ok {
		t.Error("what is no JSON was taken for it")
	}
	if _, err := os.Stat(os.DevNull); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Error("the null device is taken for a terminal")
	}
}
