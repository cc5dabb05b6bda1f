package main

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
)

// A store's password is told to nobody, whatever works and whatever fails.
func TestNoCommandShowsThePasswordOfAStore(t *testing.T) {
	t.Parallel()
	const canary = "s3cr3t-canary%2F%40t41l"
	replace := func(raw string, parts ...string) string { return strings.NewReplacer(parts...).Replace(raw) }
	working := databaseURLs(t)
	inPostgres, inRedis := working["postgres"], working["redis"]
	stores := map[string]string{
		"postgres refuses the password": replace(inPostgres, passwordOf(t, inPostgres), canary),
		"redis refuses the password":    replace(inRedis, passwordOf(t, inRedis), canary),
		"no such database":              replace(inPostgres, "/postgres?", "/nosuch?"),
		"no such schema":                replace(inPostgres, "schema=tool_", "schema=nosuch_"),
		"no such user":                  replace(inPostgres, "postgres:"+passwordOf(t, inPostgres), "nosuch:"+canary),
		"nobody listens: postgres":      "postgres://u:" + canary + "@127.0.0.1:1/db",
		"several hosts":                 "postgres://u:" + canary + "@127.0.0.1:1,127.0.0.1:2/db?target_session_attrs=read-write",
		"password in the query":         "postgres://127.0.0.1:1/db?user=u&password=" + canary,
		"not encoded":                   "postgres://u:s3cr3t/t41l@127.0.0.1:1/db",
		"not encoded: redis":            "redis://u:s3cr3t/t41l@127.0.0.1:1/0",
		"wrong escape":                  "postgres://u:s3cr3t%zz@127.0.0.1:1/db",
		"wrong escape: redis":           "redis://u:s3cr3t%zz@127.0.0.1:1/0",
		"wrong port":                    "postgres://u:" + canary + "@127.0.0.1:port/db",
		"wrong setting":                 "postgres://u:" + canary + "@127.0.0.1:1/db?sslmode=sometimes",
		"wrong setting: redis":          "redis://u:" + canary + "@127.0.0.1:1/0?protocol=s",
		"another scheme":                "mysql://u:" + canary + "@127.0.0.1:1/db",
		"a list of settings":            "host=127.0.0.1 password=" + canary,
	}
	var secrets []string
	for _, raw := range []string{inPostgres, inRedis} {
		secrets = append(secrets, passwordOf(t, raw))
	}
	secrets = append(secrets, "s3cr3t", "t41l")
	secretless := func(what, text string) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s", what, text)
			}
		}
	}
	lines := [][]string{
		{"store", "stats"}, {"store", "check"}, {"store", "export"}, {"store", "sweep"}, {"store", "compact"}, {"store", "migrate"},
		{"store", "get", "--method", "m", "--call-id", "c"}, {"store", "adopt", "m"}, {"config", "--quiet"},
		{"serve", "--connect-timeout", "1s"}, {"demo", "--calls", "1", "--kills", "0"},
	}
	// Every second run is with --json, and every fifth by the environment.
	var runs atomic.Int64
	try := func(what, raw string, line []string) int {
		n := runs.Add(1)
		args := append([]string{"warren"}, line...)
		if n%2 == 0 {
			args = append(args, "--json")
		}
		if n%5 == 0 && line[0] != "demo" {
			r := command("amqp://127.0.0.1:1/", args[1:]...)
			r.cmd.Env = append(r.cmd.Env, "WARREN_STORE="+raw)
			r.start(t).wait(t)
			secretless(fmt.Sprintf("%s, %v", what, line), r.stdout.String()+r.stderr.String())
			return r.code
		}
		args = append(args, "--store", raw)
		if slices.ContainsFunc(args, func(arg string) bool { return arg == "serve" || arg == "demo" || arg == "adopt" }) {
			args = append(args, "--url", "amqp://127.0.0.1:1/")
		}
		var out, errs strings.Builder
		code := run(args, strings.NewReader(""), &out, &errs)
		secretless(fmt.Sprintf("%s, %v", what, line), out.String()+errs.String())
		return code
	}
	for what, raw := range stores {
		for _, line := range lines {
			if code := try(what, raw, line); code == 0 && line[0] != "config" && (line[1] != "migrate" || what != "no such schema") {
				t.Errorf("%s: %v ends with 0", what, line)
			}
		}
	}
	for kind, raw := range working {
		for _, line := range lines {
			try(kind, raw, line)
		}
	}
}

// A server that loses its store says so, and not the password.
func TestServerThatLosesItsStoreLogsNoPassword(t *testing.T) {
	t.Parallel()
	own := postgres.New(t, postgres.Options{})
	raw := withQuery(t, own.URL(""), "schema", "calls")
	invokeStore(t, "migrate", raw).want(t, 0)
	_, object := started(t, "broker", "--listen", "127.0.0.1:0")
	at := as[string](t, object["url"])
	r := command(at, "serve", "--json", "--queue-type", "classic", "--store-mode", "transactional")
	r.cmd.Env = append(r.cmd.Env, "WARREN_STORE="+raw)
	r.start(t)
	patience.Eventually(t, "the server is ready", func() bool { return strings.Contains(r.stdout.String(), "\n") })
	if title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.cmd.Process.Pid)); err != nil || strings.Contains(string(title), passwordOf(t, raw)) {
		t.Errorf("the process is %s, %v", title, err)
	}
	own.Kill()
	invoke(t, at, "call", "--timeout", "1s", "sample.count")
	send(t, r, syscall.SIGTERM)
	r.wait(t).wantNoPassword(t, raw)
	if _, err := url.Parse(raw); err != nil || r.stderr.String() == "" {
		t.Errorf("the server says %q, %v", r.stderr.String(), err)
	}
}
