package main

import (
	"context"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/amqptest"
)

// hostile is what an operator's terminal must not get: it would set its title, clear
// the screen, write over lines, and show text that is not there.
const hostile = "\x1b]0;owned\a\x1b[2J\r\b\x7f\u009b31m\u0085\u202emoc.live\u2066\u2028\u2029\u200f\ufeff\xff\x9b"

// wantShown demands that a terminal obeys nothing of what was printed, and with JSON
// that each line is an object.
func wantShown(t *testing.T, what, text string, asJSON bool) {
	t.Helper()
	for i, r := range text {
		invalid := r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd")
		if invalid || !unicode.IsPrint(r) && r != '\n' {
			t.Fatalf("%s prints %q: %q", what, r, text[max(0, i-40):min(len(text), i+20)])
		}
	}
	if !asJSON {
		return
	}
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("%s prints what is no JSON: %s", what, line)
		}
	}
}

// hostileParked has hostile text in every property and header that may hold it.
func hostileParked(id string, plain bool) amqp.Publishing {
	msg := parkedMessage(id)
	msg.ReplyTo, msg.ContentType, msg.ContentEncoding = "q"+hostile, "text/"+hostile, hostile
	msg.MessageId, msg.AppId = hostile, hostile
	if plain {
		msg.Type, msg.CorrelationId = hostile, hostile
	}
	msg.Headers = amqp.Table{
		hostile: hostile, "bytes": []byte(hostile), "table": amqp.Table{hostile: hostile}, "list": []any{hostile, []byte(hostile)},
		wire.DeadReason: hostile, wire.DeadAttempts: hostile, wire.DeadError: hostile, wire.DeadIncident: hostile,
		wire.DeadAt: hostile, wire.DeadMethod: hostile, wire.DeadUser: hostile, wire.ReplayMark: hostile,
	}
	msg.Body = []byte(hostile)
	return msg
}

// hostileFile is a store whose records have hostile text wherever a stranger's can be.
func hostileFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "calls"+strings.TrimSuffix(hostile, "\xff\x9b")+".db")
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for id, payload := range map[string][]byte{
		"reply": wire.EncodeStored(&warren.Reply{
			ContentType: hostile, ContentEncoding: hostile, Header: warren.Header{hostile: hostile}, Body: []byte(hostile),
		}, nil),
		"json": wire.EncodeStored(&warren.Reply{
			ContentType: "application/json", Body: []byte("{\"\u009b\u202e\":\"\u0085\x7f\"}"),
		}, nil),
		"error": wire.EncodeStored(nil, &warren.Error{
			Code: warren.CodeInternal, Reason: "x", Incident: "i", Message: hostile, Details: map[string]string{hostile: hostile},
		}),
		"other": []byte(hostile),
	} {
		r, _, err := s.Claim(t.Context(), store.Claim{
			Key: scopeOf(id).Key(), Method: "m" + hostile, CallID: id + hostile, Lease: time.Second, Retention: time.Hour,
		})
		if err == nil {
			err = s.Complete(t.Context(), r.Key, r.Token, store.Result{State: store.Completed, Payload: payload}, time.Hour)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// hostileServer answers with hostile text in everything that a server may choose.
func hostileServer(t *testing.T, url string) {
	t.Helper()
	st, err := boltstore.Open(filepath.Join(t.TempDir(), "calls.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Store: st, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.HandleRaw(server.Method{Name: "hostile"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		switch string(req.Body) {
		case "error":
			e := warren.Errorf(warren.CodeInternal, "%s", hostile)
			e.Details = map[string]string{hostile: hostile}
			return nil, e
		case "json":
			return &warren.Reply{ContentType: "application/json", Body: []byte("\"\u009b\u202e\x7f\"")}, nil
		default:
			return &warren.Reply{Body: []byte(hostile)}, nil
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
}

// quotedHostile is hostile text as JSON has it, and YAML.
func quotedHostile(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(strings.ToValidUTF8(hostile, ""))
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// hostileManagement is an API whose every text is hostile.
func hostileManagement(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := quotedHostile(t)
		_, _ = fmt.Fprintf(w, `{"items":[{"name":%s,"type":%[1]s,"node":%[1]s,"leader":%[1]s,"state":%[1]s,"messages":1}],"page_count":1,"page":1,`+
			`"name":%[1]s,"reason":%[1]s,"error":%[1]s}`, text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestNothingThatOthersWroteReachesATerminalRaw(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	s := parkCalls(t, b.URL(), hostileParked("call-1", false), hostileParked("", true))
	if _, err := s.ch.QueueDeclare("q"+hostile, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	hostileServer(t, b.URL())
	records, management := hostileFile(t), hostileManagement(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	quoted := quotedHostile(t)
	policy := file("policy.yaml", "methods:\n  "+quoted+": {retry: {attempts: 99}, "+quoted+": 1}\n")
	rawPolicy := file("raw.yaml", "methods: {"+hostile+"}\n")
	gateway := file("gateway.yaml", "routes:\n  "+quoted+": "+quoted+"\n")
	config := file("config.yaml", quoted+": "+quoted+"\n")
	notThere := filepath.Join(dir, strings.TrimSuffix(hostile, "\xff\x9b"))

	for _, line := range [][]string{
		{"dead", "list", deadMethod}, {"dead", "show", deadMethod, "call-1"}, {"dead", "show", deadMethod, hostile},
		{"dead", "show", deadMethod, "x" + hostile}, {"dead", "list", hostile},
		{"dead", "drop", "--yes", deadMethod, "x" + hostile}, {"dead", "replay", deadMethod, "x" + hostile},
		{"dead", "replay", "--all", deadMethod}, {"dead", "drop", "--yes", "--all", deadMethod},
		{"store", "stats", records}, {"store", "check", records}, {"store", "export", records},
		{"store", "get", records, "--method", deadMethod, "--call-id", "reply"},
		{"store", "get", records, "--method", deadMethod, "--call-id", "json"},
		{"store", "get", records, "--method", deadMethod, "--call-id", "error"},
		{"store", "get", records, "--method", deadMethod, "--call-id", "other"},
		{"store", "get", records, hostile}, {"store", "stats", notThere}, {"store", "check", notThere},
		{"store", "compact", records}, {"store", "compact", records, "--to", notThere}, {"store", "export", records, "--state", hostile},
		{"call", "hostile", "error", "--id", "e"}, {"call", "hostile", "json", "--id", "j"}, {"call", "hostile", "--id", "x"},
		{"call", hostile}, {"call", "hostile", "--header", hostile + "=v"}, {"call", "hostile", "--header", hostile}, {"call", "hostile", "--id", hostile},
		{"resolve", "hostile", "e"}, {"resolve", "hostile", "j"}, {"resolve", "hostile", "x"}, {"resolve", "hostile", "e", "--issued", hostile},
		{"resolve", hostile, hostile}, {"ping", hostile}, {"ping", "x", "--timeout", hostile},
		{"queues", hostile}, {"queues", "--management", management}, {"queues", "--management", management, "--all"},
		{"config", "--config", config}, {"config", "--config", notThere}, {"config", "--user-id", hostile},
		{"policy", "check", policy}, {"policy", "check", rawPolicy}, {"policy", "check", notThere},
		{"policy", "explain", policy, "m"}, {"policy", "explain", rawPolicy, hostile}, {"policy", "simulate", policy, hostile},
		{"gateway", "--config", gateway}, {"gateway", "--config", rawPolicy}, {"gateway", "--config", gateway, "--listen", hostile},
		{"serve", "--store", notThere + "/x"}, {"serve", "--method", hostile}, {"serve", "--url", "amqp://" + hostile},
		{"broker", "--listen", hostile}, {"broker", "--fault", hostile},
		{"demo", "--calls", hostile}, {"bench", "--variants", hostile}, {"bench", "--baseline", hostile}, {"bench", "--plot", notThere + "/x"}, {"chaos", "--faults", hostile}, {"chaos", "--mode", hostile}, {"chaos", "--store", hostile},
		{hostile}, {"help", hostile}, {"store", hostile}, {"completion", hostile}, {"call", "--" + hostile},
	} {
		for _, asJSON := range []bool{false, true} {
			args := line
			if asJSON {
				args = append(append([]string{}, line...), "--json")
			}
			what := fmt.Sprintf("%.200q", args)
			r := command(b.URL(), args...).start(t).wait(t)
			binary := !asJSON && line[0] == "call" && r.code == 0 // as it is, for a pipe
			if !binary {
				wantShown(t, what, r.stdout.String(), asJSON || line[1%len(line)] == "export")
			}
			wantShown(t, what+", standard error,", r.stderr.String(), false)
			if asJSON && r.code != 0 && strings.Count(r.stdout.String(), "\n") != 1 {
				t.Errorf("%s ends with %d and prints %q", what, r.code, r.stdout.String())
			}
		}
	}
}

// What is printed goes through package printable: a stream is used as it is for a
// body that goes into a pipe, and for the tool's own controls, and nowhere else.
func TestStreamsAreUsedRawInFewPlaces(t *testing.T) {
	t.Parallel()
	allowed := map[string]int{"call.go": 2, "chaos.go": 2, "demo_progress.go": 1, "exit.go": 2, "output.go": 3, "store_export.go": 1, "terminal.go": 1}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	raw := regexp.MustCompile(`\.raw\b`)
	streams := regexp.MustCompile(`os\.Std(out|err)|fmt\.Print`)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.ParseFile(token.NewFileSet(), path, text, parser.PackageClauseOnly); err != nil {
			t.Fatal(err)
		}
		code := regexp.MustCompile(`(?m)^\s*//.*$`).ReplaceAllString(string(text), "")
		if path == "dead_show.go" {
			code = strings.ReplaceAll(code, "d.raw", "") // of a body
		}
		if n := len(raw.FindAllString(code, -1)); n != allowed[path] {
			t.Errorf("%s uses a stream raw in %d places, and may in %d", path, n, allowed[path])
		}
		if n := len(streams.FindAllString(code, -1)); n > 0 && path != "main.go" && path != "bench_worker.go" {
			t.Errorf("%s names a standard stream", path)
		}
	}
}

// Whatever a password stands in, it is told to nobody.
func TestPasswordInAWrongPlaceIsHidden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gateway := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(gateway, []byte("routes:\n  GET /x: {method: m}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{
		"s3cr3t", "s3cr3t/with?more#@t41l", `s3cr3t"quoted't41l`, "s3cr3t with t41l", "s3cr3t" + strings.Repeat("x", 100),
	} {
		for _, form := range []string{"amqp://u:%s@h", "u:%s@h", "http://u:%s@h:1/", "amqp://u:%s@h,amqp://u:%[1]s@i", "postgres://u:%s@127.0.0.1:1/db", "redis://:%s@127.0.0.1:port"} {
			secret := fmt.Sprintf(form, password)
			for _, line := range [][]string{
				{secret}, {"help", secret}, {"--" + secret}, {"--" + secret + "=x"}, {"call", "--" + secret, "x"},
				{"gateway", "--config", gateway, "--listen", secret}, {"gateway", "--config", secret}, {"gateway", "--policies", secret, "--config", gateway},
				{"gateway", "--config", gateway, "--tls-cert", secret, "--tls-key", secret}, {"gateway", secret},
				{"policy", "check", secret}, {"policy", "explain", secret, secret}, {"policy", "simulate", secret}, {"policy", secret},
				{"ping", secret}, {"ping", "--timeout", secret, "x"}, {"ping", "x", secret},
				{"call", secret}, {"call", "x", "--id", secret + "\x01"}, {"call", "x", "--header", secret}, {"call", "x", "y", secret},
				{"resolve", secret, "x"}, {"resolve", "x", "y", "--issued", secret}, {"queues", secret}, {"queues", "--management", secret + "?"},
				{"config", secret}, {"config", "--config", secret}, {"config", "--timeout", secret}, {"config", "--broker-ca", secret},
				{"store", "stats", secret}, {"store", "check", secret}, {"store", "get", secret, "--method", "m", "--call-id", "c"},
				{"store", "get", "x", secret}, {"store", "export", "x", "--state", secret}, {"store", "compact", secret}, {"store", "compact", secret, "--to", secret},
				{"dead", "list", secret}, {"dead", "show", secret, "x"}, {"dead", "replay", secret, "x"}, {"dead", "drop", secret, "x"}, {"dead", secret},
				{"serve", secret}, {"serve", "--store", secret + "/x"}, {"serve", "--store-mode", secret}, {"serve", "--method", secret},
				{"broker", "--listen", secret}, {"broker", "--fault", secret}, {"demo", secret}, {"demo", "--calls", secret},
				{"bench", secret}, {"bench", "--variants", secret}, {"bench", "--baseline", secret}, {"chaos", "--faults", secret}, {"chaos", "--seed", secret}, {"completion", secret},
			} {
				for _, asJSON := range []bool{false, true} {
					args := append([]string{"warren"}, line...)
					if asJSON {
						args = append(args, "--json")
					}
					var out, errs strings.Builder
					code := run(args, strings.NewReader(""), &out, &errs)
					if code == 0 {
						t.Errorf("%q ends with 0", args)
					}
					if all := out.String() + errs.String(); strings.Contains(all, "s3c") || strings.Contains(all, "t41l") {
						t.Errorf("%.200q prints %s", args, all)
					}
				}
			}
		}
	}
}
