package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/rabbit"
)

func TestWrongInputGivesOneLineAndExitCode2(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for _, line := range [][]string{
		{},
		{"nosuch"},
		{"help", "nosuch"},
		{"--bogus"},

		{"serve", "extra"},
		{"serve", "--bogus"},
		{"serve", "--store-mode", "exactly-once"}, {"serve", "--store-mode", "transactional"},
		{"serve", "--url"},
		{"serve", "--url", ""},
		{"serve", "--url", "localhost"},
		{"serve", "--url", "http://localhost/"},
		{"serve", "--url", "amqp://"},
		{"serve", "--url", "amqp://localhost:0/"},
		{"serve", "--url", "amqp://localhost/a/b"},
		{"serve", "--url", "amqp://localhost/%zz"},
		{"serve", "--url", "amqp://localhost,"},
		{"serve", "--queue-type", "stream"},
		{"serve", "--concurrency", "0"},
		{"serve", "--concurrency", "many"},
		{"serve", "--concurrency", "10001"},
		{"serve", "--prefetch", "0"},
		{"serve", "--concurrency", "8", "--prefetch", "4"},
		{"serve", "--prefetch", "65536"},
		{"serve", "--method", "nosuch"},
		{"serve", "--connect-timeout", "-1s"},
		{"serve", "--drain-timeout", "5"},

		{"call"},
		{"call", "a", "b", "c"},
		{"call", ""},
		{"call", "a b"},
		{"call", "amq.direct"},
		{"call", "warren.control.x"},
		{"call", "x.dead"},
		{"call", long},
		{"call", "--timeout", "soon", "x"},
		{"call", "--timeout", "0s", "x"},
		{"call", "--timeout", "-1s", "x"},
		{"call", "--timeout", "25h", "x"},
		{"call", "--attempts", "0", "x"},
		{"call", "--attempts", "6", "x"},
		{"call", "--id", "", "x"},
		{"call", "--id", "\x01", "x"},
		{"call", "--id", long, "x"},
		{"call", "--header", "novalue", "x"},
		{"call", "--header", "=v", "x"},
		{"call", "--header", "ключ=v", "x"},
		{"call", "--header", "k=" + strings.Repeat("v", 20_000), "x"},
		{"call", "--content-type", long, "x"},
		{"call", "x", "-5", "--json"},
		{"call", "amqp://user:s3cr3t@localhost/", "x"},

		{"ping"},
		{"ping", "a", "b"},
		{"ping", "a/b"},
		{"ping", "--timeout", "0s", "x"},

		{"demo", "extra"},
		{"demo", "--calls", "0"},
		{"demo", "--calls", "1000001"},
		{"demo", "--kills", "-1"},
		{"demo", "--calls", "5", "--kills", "6"},
		{"demo", "--servers", "0"},
		{"demo", "--rate", "-1"},
		{"demo", "--inflight", "0"},
		{"demo", "--timeout", "10ms"},
		{"demo", "--seed", "x"},
		{"demo", "--url", "amqp://user:s3cr3t@localhost:port/"},

		{"bench", "extra"},
		{"bench", "--sizes", "x"},
		{"bench", "--sizes", "-1"},
		{"bench", "--inflight", "0"},
		{"bench", "--rate", "0"},
		{"bench", "--rounds", "0"},
		{"bench", "--duration", "1ms"},
		{"bench", "--warm-up", "-1s"},
		{"bench", "--variants", "raw-best,nosuch"},
		{"bench", "--against", "raw-best,nosuch"},
		{"bench", "--against", "raw-best", "--variants", "raw-best"},
		{"bench", "--baseline", "nosuch"},
		{"bench", "--baseline", ""},
		{"bench", "--url", "amqp://a/,amqp://b/"},
	} {
		t.Run(strings.Join(line, " ")[:min(60, len(strings.Join(line, " ")))], func(t *testing.T) {
			t.Parallel()
			r := invoke(t, "", line...).want(t, exitUsage)
			if text := r.wantLine(t); len(text) > 300 || strings.Contains(text, "s3cr3t") {
				t.Errorf("standard error: %s", text)
			}
			if out := r.stdout.String(); out != "" && !slices.Contains(line, "--json") {
				t.Errorf("standard output: %q", out)
			}
		})
	}
}

func TestHelpOfEveryCommandHasExamplesAndIsAResult(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"serve", "call", "ping", "demo", "bench"} {
		for _, line := range [][]string{{name, "--help"}, {"help", name}, {name, "-h"}} {
			r := invoke(t, "amqp://user:s3cr3t@localhost/", line...).want(t, 0)
			out := r.stdout.String()
			for _, want := range []string{"warren " + name, "Examples:", "--url", "--json", "--quiet", "WARREN_URL"} {
				if !strings.Contains(out, want) {
					t.Errorf("%v: no %q in %s", line, want, out)
				}
			}
			if strings.Contains(out, "s3cr3t") || r.said() != "" {
				t.Errorf("%v: %s, standard error %q", line, out, r.stderr.String())
			}
		}
	}
	out := invoke(t, "", "--help").want(t, 0).stdout.String()
	if !strings.Contains(out, "Exit codes") || strings.Contains(out, "demo-server") || strings.Contains(out, "bench-worker") {
		t.Errorf("help: %s", out)
	}
	if out := invoke(t, "", "--version").want(t, 0).stdout.String(); !strings.HasPrefix(out, "warren version ") {
		t.Errorf("version: %s", out)
	}
}

// Whatever goes wrong with a connection, its password is told to nobody.
func TestNoOutputHoldsAPassword(t *testing.T) {
	t.Parallel()
	const unreachable = "amqp://user:s3cr3t@127.0.0.1:1/"
	node := rabbit.Shared(t)
	refused := node.URLAs("guest", "s3cr3t", "/")
	noHost := node.URLAs("guest", "guest", "s3cr3t-host")
	var runs []*tool
	for _, line := range [][]string{
		{unreachable, "call", "x", "--timeout", "300ms"},
		{unreachable, "call", "x", "--timeout", "1500ms", "--json"},
		{unreachable, "ping", "x", "--timeout", "300ms"},
		{unreachable, "ping", "x", "--timeout", "300ms", "--json"},
		{unreachable, "serve", "--connect-timeout", "300ms"},
		{unreachable, "demo", "--calls", "1", "--kills", "0"},
		{unreachable, "bench", "--rounds", "1"},
		{refused, "call", "x"},
		{refused, "call", "x", "--json"},
		{refused, "serve"},
		{refused, "ping", "x"},
		{refused, "demo"},
		{refused, "bench"},
		{noHost, "call", "x"},
		{noHost, "serve"},
		{noHost + "," + unreachable, "call", "x", "--timeout", "1s"},
	} {
		// RabbitMQ takes three seconds to refuse a password, so all wait at once.
		runs = append(runs, command(line[0], line[1:]...).start(t))
		if line[1] == "call" {
			runs = append(runs, command("", append(line[1:], "--url", line[0])...).start(t))
		}
	}
	for _, r := range runs {
		r.wait(t).want(t, exitBroker)
		if all := r.stdout.String() + r.stderr.String(); strings.Contains(all, ":s3cr3t") || strings.Contains(all, "amqp://") {
			t.Errorf("%v: the output is %s", r.cmd.Args[1:], all)
		}
	}
}

func TestErrorsAreOneLineWithoutTerminalControls(t *testing.T) {
	t.Parallel()
	err := errors.Join(errors.New("first"), errors.New("warren: second \x1b[31mred\x00"))
	var out, errs strings.Builder
	code := report(screenOf(&out), screenOf(&errs), false, &exitError{exitInternal, err})
	if code != exitInternal || errs.String() != "warren: first; second \\x1b[31mred\\x00\n" || out.String() != "" {
		t.Errorf("code %d, %q, %q", code, errs.String(), out.String())
	}
}
