package client

import (
	"context"
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
)

const secret = "S3CR3T"

// config returns a valid configuration, changed.
func config(change func(*Config)) Config {
	c := Config{Broker: warren.Broker{URLs: []string{"amqp://user:" + secret + "@localhost"}}}
	change(&c)
	return c
}

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		field  string
		change func(*Config)
	}{
		"no URL":           {"Broker.URLs", func(c *Config) { c.Broker.URLs = nil }},
		"bad URL":          {"Broker.URLs[0]", func(c *Config) { c.Broker.URLs[0] = "http://user:" + secret + "@h" }},
		"bad heartbeat":    {"Broker.Heartbeat", func(c *Config) { c.Broker.Heartbeat = time.Millisecond }},
		"bad dial timeout": {"Broker.DialTimeout", func(c *Config) { c.Broker.DialTimeout = -1 }},
		"long user":        {"client.Config.UserID", func(c *Config) { c.UserID = strings.Repeat("u", 256) }},
		"long caller":      {"client.Config.Caller", func(c *Config) { c.Caller = strings.Repeat("c", 129) }},
		"unknown NoServer": {"client.Config.NoServer", func(c *Config) { c.NoServer = 2 }},
		"bad policy": {"client.Config.Policies", func(c *Config) {
			c.Policies.Methods = map[string]reliability.Policy{"*": {Timeout: new(time.Microsecond)}}
		}},
		"negative MaxPending":   {"client.Config.MaxPending", func(c *Config) { c.MaxPending = -1 }},
		"MaxPending too large":  {"client.Config.MaxPending", func(c *Config) { c.MaxPending = 1_000_001 }},
		"negative pending size": {"client.Config.MaxPendingBytes", func(c *Config) { c.MaxPendingBytes = -1 }},
		"negative MaxRequest":   {"client.Config.MaxRequest", func(c *Config) { c.MaxRequest = -1 }},
		"MaxRequest too large":  {"client.Config.MaxRequest", func(c *Config) { c.MaxRequest = 128<<20 + 1 }},
		"negative MaxReply":     {"client.Config.MaxReply", func(c *Config) { c.MaxReply = -1 }},
		"MaxReply too large":    {"client.Config.MaxReply", func(c *Config) { c.MaxReply = 128<<20 + 1 }},
		"Expires too short":     {"client.Config.ReplyQueue.Expires", func(c *Config) { c.ReplyQueue.Expires = time.Second }},
		"negative Expires":      {"client.Config.ReplyQueue.Expires", func(c *Config) { c.ReplyQueue.Expires = -time.Hour }},
		"Expires too long":      {"client.Config.ReplyQueue.Expires", func(c *Config) { c.ReplyQueue.Expires = 48 * time.Hour }},
	} {
		c, err := New(config(test.change))
		if err == nil || c != nil {
			t.Errorf("%s is accepted", name)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, "warren: "+test.field+" ") && !strings.HasPrefix(text, "warren: "+test.field+":") ||
			strings.ContainsAny(text, "\r\n") || strings.Contains(text, secret) {
			t.Errorf("%s: %q; want one line that begins with %s", name, text, test.field)
		}
	}
}

func TestConfigAcceptsItsBounds(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"defaults": func(*Config) {},
		"least": func(c *Config) {
			c.MaxPending, c.MaxPendingBytes, c.MaxRequest, c.MaxReply = 1, 1, 1, 1
			c.ReplyQueue.Expires = 10 * time.Second
		},
		"most": func(c *Config) {
			c.MaxPending, c.MaxRequest, c.MaxReply = 1_000_000, 128<<20, 128<<20
			c.ReplyQueue.Expires, c.Caller, c.NoServer = 24*time.Hour, strings.Repeat("c", 128), Wait
			c.UserID = strings.Repeat("u", 255)
		},
	} {
		c := config(change).withDefaults()
		if err := c.validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c := config(func(*Config) {}).withDefaults()
	if c.NoServer != FailFast || c.MaxPending != 10_000 ||
		c.MaxPendingBytes != 64<<20 || c.MaxRequest != 1<<20 || c.MaxReply != 1<<20 || c.Persistent ||
		c.ReplyQueue.Expires != 10*time.Minute || c.ReplyQueue.Exclusive || c.Caller != "" || len(c.Interceptors) != 0 {
		t.Errorf("the defaults are %+v", c)
	}
	if c.Logger == nil || c.Codec != warren.JSON || c.Broker.Heartbeat != 10*time.Second || c.Broker.Dial == nil {
		t.Errorf("the defaults are %+v", c)
	}
	logger := slog.New(slog.DiscardHandler)
	set := config(func(c *Config) { c.Logger, c.Codec, c.MaxReply = logger, warren.Raw, 7 }).withDefaults()
	if set.Logger != logger || set.Codec != warren.Raw || set.MaxReply != 7 {
		t.Errorf("what was set has become %+v", set)
	}
}

func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	called := ""
	note := func(name string) warren.Interceptor {
		return func(next warren.Handler) warren.Handler {
			called += name
			return next
		}
	}
	theirs := config(func(c *Config) {
		c.Interceptors = []warren.Interceptor{note("first")}
		c.Broker.TLS = &tls.Config{ServerName: "before", MinVersion: tls.VersionTLS12}
	})
	ours := theirs.withDefaults()
	theirs.Interceptors[0] = note("second")
	theirs.Broker.URLs[0], theirs.Broker.TLS.ServerName = "amqp://other", "after"
	end := func(context.Context, *warren.Request) (*warren.Reply, error) { return &warren.Reply{}, nil }
	warren.Chain(end, ours.Interceptors...)
	if called != "first" || !strings.Contains(ours.Broker.URLs[0], "localhost") || ours.Broker.TLS.ServerName != "before" {
		t.Errorf("later changes reach the copy: %q, %q", called, ours.Broker.TLS.ServerName)
	}
}
