package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
)

const secret = "S3CR3T"

// config returns a valid configuration, changed.
func config(change func(*Config)) Config {
	c := Config{Broker: warren.Broker{URLs: []string{"amqp://user:" + secret + "@localhost"}}}
	change(&c)
	return c
}

// checkNames demands one line that begins with the field and tells no secret.
func checkNames(t *testing.T, name string, err error, field string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s is accepted", name)
		return
	}
	text := err.Error()
	if !strings.HasPrefix(text, "warren: "+field) || strings.ContainsAny(text, "\r\n") || strings.Contains(text, secret) {
		t.Errorf("%s: %q; want one line that begins with %s", name, text, field)
	}
}

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		field  string
		change func(*Config)
	}{
		"no URL":               {"Broker.URLs is empty", func(c *Config) { c.Broker.URLs = nil }},
		"bad URL":              {"Broker.URLs[0]:", func(c *Config) { c.Broker.URLs[0] = "http://user:" + secret + "@h" }},
		"bad heartbeat":        {"Broker.Heartbeat is", func(c *Config) { c.Broker.Heartbeat = time.Hour }},
		"long name":            {"Broker.Name has", func(c *Config) { c.Broker.Name = strings.Repeat("n", 129) }},
		"negative MaxRequest":  {"server.Config.MaxRequest is", func(c *Config) { c.MaxRequest = -1 }},
		"MaxRequest too large": {"server.Config.MaxRequest is", func(c *Config) { c.MaxRequest = 128<<20 + 1 }},
		"negative MaxReply":    {"server.Config.MaxReply is", func(c *Config) { c.MaxReply = -1 }},
		"MaxReply too large":   {"server.Config.MaxReply is", func(c *Config) { c.MaxReply = 128<<20 + 1 }},
	} {
		s, err := New(config(test.change))
		if s != nil {
			t.Errorf("%s makes a server", name)
		}
		checkNames(t, name, err, test.field)
	}
}

func TestConfigDefaultsAndBounds(t *testing.T) {
	t.Parallel()
	c := config(func(*Config) {}).withDefaults()
	if c.MaxRequest != 1<<20 || c.MaxReply != 1<<20 || c.PersistentReplies || c.Logger == nil || len(c.Interceptors) != 0 ||
		c.Broker.Heartbeat != 10*time.Second || c.Broker.Dial == nil {
		t.Errorf("the defaults are %+v", c)
	}
	logger := slog.New(slog.DiscardHandler)
	for _, bound := range []int{1, 128 << 20} {
		c := config(func(c *Config) { c.Logger, c.MaxRequest, c.MaxReply = logger, bound, bound }).withDefaults()
		if err := c.validate(); err != nil || c.MaxRequest != bound || c.MaxReply != bound || c.Logger != logger {
			t.Errorf("%d: %v, %+v", bound, err, c)
		}
	}
}

func TestConfigAndMethodAreCopied(t *testing.T) {
	t.Parallel()
	called := ""
	note := func(name string) warren.Interceptor {
		return func(next warren.Handler) warren.Handler {
			called += name
			return next
		}
	}
	theirs := config(func(c *Config) {
		c.Interceptors = []warren.Interceptor{note("server ")}
		c.Broker.TLS = &tls.Config{ServerName: "before", MinVersion: tls.VersionTLS12}
	})
	method := Method{Name: "m", Interceptors: []warren.Interceptor{note("method ")}}
	ours, copied := theirs.withDefaults(), method.withDefaults(nil)
	theirs.Interceptors[0], method.Interceptors[0] = note("changed "), note("changed ")
	theirs.Broker.URLs[0], theirs.Broker.TLS.ServerName = "amqp://other", "after"
	end := func(context.Context, *warren.Request) (*warren.Reply, error) { return &warren.Reply{}, nil }
	warren.Chain(warren.Chain(end, copied.Interceptors...), ours.Interceptors...)
	if called != "method server " || !strings.Contains(ours.Broker.URLs[0], "localhost") || ours.Broker.TLS.ServerName != "before" {
		t.Errorf("later changes reach the copy: %q, %q", called, ours.Broker.TLS.ServerName)
	}
}

func TestMethodNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method Method
		field  string
	}{
		"no name":              {Method{}, "the method name is empty"},
		"reserved name":        {Method{Name: "amq.x"}, `method name "amq.x"`},
		"unknown type":         {Method{Name: "m", Queue: Queue{Type: "stream"}}, "server.Method.Queue.Type of m"},
		"type in capitals":     {Method{Name: "m", Queue: Queue{Type: "Classic"}}, "server.Method.Queue.Type of m"},
		"transient quorum":     {Method{Name: "m", Queue: Queue{Transient: true}}, "server.Method.Queue.Transient of m"},
		"transient existing":   {Method{Name: "m", Queue: Queue{Type: Existing, Transient: true}}, "server.Method.Queue.Transient of m"},
		"expires too soon":     {Method{Name: "m", Queue: Queue{Expires: time.Second}}, "server.Method.Queue.Expires of m"},
		"negative expires":     {Method{Name: "m", Queue: Queue{Expires: -1}}, "server.Method.Queue.Expires of m"},
		"expires too late":     {Method{Name: "m", Queue: Queue{Expires: 31 * 24 * time.Hour}}, "server.Method.Queue.Expires of m"},
		"existing expires":     {Method{Name: "m", Queue: Queue{Type: Existing, Expires: time.Hour}}, "server.Method.Queue.Expires of m"},
		"negative concurrency": {Method{Name: "m", Concurrency: -1}, "server.Method.Concurrency of m"},
		"concurrency too high": {Method{Name: "m", Concurrency: 10_001}, "server.Method.Concurrency of m"},
		"prefetch too low":     {Method{Name: "m", Concurrency: 8, Prefetch: 7}, "server.Method.Prefetch of m"},
		"negative prefetch":    {Method{Name: "m", Prefetch: -1}, "server.Method.Prefetch of m"},
		"prefetch too high":    {Method{Name: "m", Prefetch: 65_536}, "server.Method.Prefetch of m"},
		"negative target":      {Method{Name: "m", Admission: Admission{Target: -1}}, "server.Method.Admission.Target of m"},
		"long target":          {Method{Name: "m", Admission: Admission{Target: time.Hour}}, "server.Method.Admission.Target of m"},
		"short interval": {
			Method{Name: "m", Admission: Admission{Target: time.Second, Interval: time.Millisecond}}, "server.Method.Admission.Interval of m",
		},
		"negative failures":  {Method{Name: "m", KillSwitch: KillSwitch{Failures: -1}}, "server.Method.KillSwitch.Failures of m"},
		"failures above all": {Method{Name: "m", KillSwitch: KillSwitch{Failures: 1.1}}, "server.Method.KillSwitch.Failures of m"},
		"failures NaN":       {Method{Name: "m", KillSwitch: KillSwitch{Failures: math.NaN()}}, "server.Method.KillSwitch.Failures of m"},
		"short window": {
			Method{Name: "m", KillSwitch: KillSwitch{Failures: 1, Window: 1}}, "server.Method.KillSwitch.Window of m",
		},
		"negative volume": {Method{Name: "m", KillSwitch: KillSwitch{Failures: 1, Volume: -1}}, "server.Method.KillSwitch.Volume of m"},
		"long open": {
			Method{Name: "m", KillSwitch: KillSwitch{Failures: 1, Open: time.Minute, MostOpen: time.Second}}, "server.Method.KillSwitch.Open of m",
		},
		"longest open": {
			Method{Name: "m", KillSwitch: KillSwitch{Failures: 1, MostOpen: 2 * time.Hour}}, "server.Method.KillSwitch.MostOpen of m",
		},
		"open for longer than the queue lives": {
			Method{Name: "m", Queue: Queue{Expires: time.Minute}, KillSwitch: KillSwitch{Failures: 1}}, "server.Method.KillSwitch.MostOpen of m",
		},
		"negative probes": {Method{Name: "m", KillSwitch: KillSwitch{Failures: 1, Probes: -1}}, "server.Method.KillSwitch.Probes of m"},
	} {
		m := test.method.withDefaults(nil)
		checkNames(t, name, m.validate(), test.field)
	}
}

func TestMethodDefaultsAndBounds(t *testing.T) {
	t.Parallel()
	m := Method{Name: "m"}.withDefaults(nil)
	if m.Queue != (Queue{Type: Quorum}) || m.Concurrency != 64 || m.Prefetch != 128 || m.Codec != warren.JSON || len(m.Interceptors) != 0 {
		t.Errorf("the defaults are %+v", m)
	}
	for name, m := range map[string]Method{
		"defaults":          {Name: "m"},
		"one at a time":     {Name: "m", Concurrency: 1, Prefetch: 1},
		"most":              {Name: "m", Concurrency: 10_000, Prefetch: 65_535},
		"default prefetch":  {Name: "m", Concurrency: 10_000},
		"transient classic": {Name: "m", Queue: Queue{Type: Classic, Transient: true, Expires: 10 * time.Second}},
		"expiring quorum":   {Name: "m", Queue: Queue{Type: Quorum, Expires: 30 * 24 * time.Hour}},
		"existing":          {Name: "m", Queue: Queue{Type: Existing}},
		"raw":               {Name: "m", Codec: warren.Raw},
		"admission":         {Name: "m", Admission: Admission{Target: time.Minute}},
		"kill switch":       {Name: "m", KillSwitch: KillSwitch{Failures: 1}},
		"patient switch":    {Name: "m", KillSwitch: KillSwitch{Failures: 0.1, Open: time.Hour}},
	} {
		m = m.withDefaults(nil)
		if err := m.validate(); err != nil || m.Prefetch < m.Concurrency {
			t.Errorf("%s: %v, %+v", name, err, m)
		}
	}
}

func TestMethodDeclaresItsQueue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		queue Queue
		want  broker.Queue
	}{
		"default":   {Queue{}, broker.Queue{Name: "m", Type: broker.Quorum, Durable: true}},
		"classic":   {Queue{Type: Classic, Expires: time.Hour}, broker.Queue{Name: "m", Type: broker.Classic, Durable: true, Expires: time.Hour}},
		"transient": {Queue{Type: Classic, Transient: true}, broker.Queue{Name: "m", Type: broker.Classic}},
		"existing":  {Queue{Type: Existing}, broker.Queue{Name: "m", Type: broker.Existing, Durable: true}},
	} {
		m := Method{Name: "m", Queue: test.queue}.withDefaults(nil)
		if got := m.queue(); got != test.want {
			t.Errorf("%s: %+v; want %+v", name, got, test.want)
		}
	}
}

func TestRegistrationIsChecked(t *testing.T) {
	t.Parallel()
	s, err := New(config(func(*Config) {}))
	if err != nil {
		t.Fatal(err)
	}
	handler := func(context.Context, *warren.Request) (*warren.Reply, error) { return &warren.Reply{}, nil }
	if err := s.HandleRaw(Method{Name: "m"}, nil); err == nil || !strings.Contains(err.Error(), "handler of m is nil") {
		t.Errorf("no handler: %v", err)
	}
	if err := s.HandleRaw(Method{Name: "m", Concurrency: -1}, handler); err == nil {
		t.Error("a wrong method is registered")
	}
	if err := s.HandleRaw(Method{Name: "m"}, handler); err != nil || len(s.methods) != 1 {
		t.Errorf("%v, %d methods", err, len(s.methods))
	}
	if err := s.HandleRaw(Method{Name: "m"}, handler); err == nil || len(s.methods) != 1 {
		t.Errorf("the same method twice: %v, %d methods", err, len(s.methods))
	}
	if err := Handle[int, int](s, Method{Name: "n"}, nil); err == nil || len(s.methods) != 1 {
		t.Errorf("no typed handler: %v, %d methods", err, len(s.methods))
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.HandleRaw(Method{Name: "late"}, handler); err == nil {
		t.Error("a method is registered after the end")
	}
}
