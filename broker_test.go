package warren_test

import (
	"context"
	"crypto/tls"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
)

const secret = "S3CR3T"

func TestBrokerURLs(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"amqp://localhost", "amqp://localhost/", "amqps://h:5671/vhost", "amqp://guest:guest@localhost:5672/%2F",
		"amqp://u:p%40%2F%23%3F@[::1]:5672/a%2Fb", "amqp://u@h", "amqp://h/" + strings.Repeat("v", 255), "amqp://h/%E2%82%AC", "amqp://h/a%40b%20c",
		"amqp://h:/", "AMQP://h",
	} {
		if err := (warren.Broker{URLs: []string{raw}}).Validate(); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for raw, why := range map[string]string{
		"":                                                           "scheme",
		"localhost:5672":                                             "scheme",
		"localhost":                                                  "scheme",
		"http://u:" + secret + "@h":                                  "scheme",
		"amqp:u:" + secret + "@h":                                    "host",
		"amqp:///vhost":                                              "host",
		"amqp://u:" + secret + "@:5672/":                             "host",
		"amqp://u:" + secret + "@h:0":                                "port",
		"amqp://u:" + secret + "@h:65536":                            "port",
		"amqp://u:" + secret + "@h:amqp":                             "not a URL",
		"amqp://u:" + secret + "%zz@h":                               "not a URL",
		"amqp://u:" + secret + " x@h":                                "not a URL",
		"amqp://u:" + secret + "@h\n":                                "not a URL",
		"amqp://u:" + secret + "/x@h":                                "not a URL",
		"amqp://u:" + secret + "#x@h":                                "not a URL",
		"amqp://u:" + secret + "@h/v#x":                              "fragment",
		"amqp://u:" + secret + "@h/a/b":                              "virtual host",
		"amqp://u:" + secret + "@h/a b":                              "space",
		"amqp://u:1234/" + secret + "@h":                             "password",
		"amqp://h/" + secret + "@v":                                  "%40",
		"amqp://u:" + secret + "@h?heartbeat=10":                     "query",
		"amqp://u:" + secret + "@h/" + strings.Repeat("v", 256):      "virtual host",
		"amqp://u:" + secret + "@h/" + strings.Repeat("%C3%A4", 128): "virtual host",
	} {
		err := warren.Broker{URLs: []string{"amqp://ok", raw}}.Validate()
		if err == nil {
			t.Errorf("%s is accepted", raw)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, "warren: Broker.URLs[1]: ") || !strings.Contains(text, why) {
			t.Errorf("%s: %s; want the number of the URL and %q", raw, text, why)
		}
		checkTells(t, text)
	}
}

// checkTells demands one line that tells nothing of a URL.
func checkTells(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, secret) || strings.ContainsAny(text, "\r\n") {
		t.Errorf("the error says %q", text)
	}
}

func TestBrokerNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		broker warren.Broker
		field  string // empty: nothing is wrong
	}{
		"zero value":           {warren.Broker{URLs: nil}, "Broker.URLs "},
		"no URL":               {warren.Broker{URLs: []string{}}, "Broker.URLs "},
		"external without TLS": {warren.Broker{URLs: []string{"amqps://a", "amqp://b"}, Auth: warren.AuthExternal}, "Broker.URLs[1]"},
		"external with TLS":    {warren.Broker{URLs: []string{"amqps://a"}, Auth: warren.AuthExternal}, ""},
		"external in capitals": {warren.Broker{URLs: []string{"AMQPS://a"}, Auth: warren.AuthExternal}, ""},
		"external with Credentials": {warren.Broker{
			URLs: []string{"amqps://a"}, Auth: warren.AuthExternal,
			Credentials: func(context.Context) (string, string, error) { return "", "", nil },
		}, "Broker.Credentials"},
		"unknown Auth":            {valid(func(b *warren.Broker) { b.Auth = 2 }), "Broker.Auth"},
		"heartbeat too short":     {valid(func(b *warren.Broker) { b.Heartbeat = time.Second - 1 }), "Broker.Heartbeat"},
		"negative heartbeat":      {valid(func(b *warren.Broker) { b.Heartbeat = -1 }), "Broker.Heartbeat"},
		"shortest heartbeat":      {valid(func(b *warren.Broker) { b.Heartbeat = time.Second }), ""},
		"longest heartbeat":       {valid(func(b *warren.Broker) { b.Heartbeat = 10 * time.Minute }), ""},
		"heartbeat too long":      {valid(func(b *warren.Broker) { b.Heartbeat = 10*time.Minute + 1 }), "Broker.Heartbeat"},
		"dial timeout too short":  {valid(func(b *warren.Broker) { b.DialTimeout = time.Millisecond }), "Broker.DialTimeout"},
		"negative dial timeout":   {valid(func(b *warren.Broker) { b.DialTimeout = -time.Second }), "Broker.DialTimeout"},
		"dial timeout too long":   {valid(func(b *warren.Broker) { b.DialTimeout = time.Hour }), "Broker.DialTimeout"},
		"longest dial timeout":    {valid(func(b *warren.Broker) { b.DialTimeout = 2 * time.Minute }), ""},
		"name too long":           {valid(func(b *warren.Broker) { b.Name = strings.Repeat("n", 129) }), "Broker.Name"},
		"longest name":            {valid(func(b *warren.Broker) { b.Name = strings.Repeat("n", 128) }), ""},
		"defaults are not needed": {valid(func(*warren.Broker) {}), ""},
	} {
		for _, broker := range []warren.Broker{test.broker, test.broker.WithDefaults()} {
			err := broker.Validate()
			switch {
			case test.field == "" && err != nil:
				t.Errorf("%s: %v", name, err)
			case test.field != "" && err == nil:
				t.Errorf("%s is accepted", name)
			case test.field != "":
				if text := err.Error(); !strings.HasPrefix(text, "warren: "+test.field) {
					t.Errorf("%s: %s; want it to begin with %s", name, text, test.field)
				}
				checkTells(t, err.Error())
			}
		}
	}
}

func valid(change func(*warren.Broker)) warren.Broker {
	b := warren.Broker{URLs: []string{"amqp://u:" + secret + "@localhost"}}
	change(&b)
	return b
}

func TestBrokerDefaults(t *testing.T) {
	t.Parallel()
	b := warren.Broker{URLs: []string{"amqp://a"}}.WithDefaults()
	if b.Heartbeat != 10*time.Second || b.DialTimeout != 10*time.Second || b.Dial == nil || b.TLS != nil || b.Auth != warren.AuthPlain {
		t.Errorf("the defaults are %+v", b)
	}
	if b.Name == "" || len(b.Name) > 128 || strings.ContainsAny(b.Name, `/\`) {
		t.Errorf("the name is %q; want the executable's", b.Name)
	}
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
	set := warren.Broker{URLs: []string{"amqp://a"}, Heartbeat: time.Second, DialTimeout: time.Second, Name: "n"}.WithDefaults()
	if set.Heartbeat != time.Second || set.DialTimeout != time.Second || set.Name != "n" {
		t.Errorf("what was set has become %+v", set)
	}
}

func TestBrokerIsCopied(t *testing.T) {
	t.Parallel()
	urls := []string{"amqp://a", "amqp://b"}
	config := &tls.Config{ServerName: "before", MinVersion: tls.VersionTLS13}
	b := warren.Broker{URLs: urls, TLS: config}.WithDefaults()
	urls[0], config.ServerName = "changed", "after"
	if b.URLs[0] != "amqp://a" || b.TLS.ServerName != "before" || b.TLS.MinVersion != tls.VersionTLS13 {
		t.Errorf("later changes reach the copy: %v, %s", b.URLs, b.TLS.ServerName)
	}
	b.URLs = append(b.URLs[:1], "amqp://c")
	if urls[1] != "amqp://b" {
		t.Errorf("the copy reaches the original: %v", urls)
	}
}

// FuzzBrokerURLNeverLeaksItsPassword puts a password into URLs, rightly and
// wrongly quoted, and looks for it in what Validate says.
func FuzzBrokerURLNeverLeaksItsPassword(f *testing.F) {
	for _, seed := range [][2]string{
		{"pa%ss", "@host:5672/"}, {"p#w", "@h"}, {"p/w", "@h:x"}, {"p w", "@h"}, {"", "@[::1"}, {"%zz", "@h/a/b?x#y"},
		{"\x7f", "@h:99999"}, {"p@q", ""}, {"\n", "@h"}, {"]", "@["}, {"p", "@h%41"},
	} {
		f.Add("amqp://user:", seed[0], seed[1])
	}
	f.Add("", "", "")
	f.Add("http://u:", "x", "@h")
	f.Add("%", "", "://")
	f.Fuzz(func(t *testing.T, before, password, after string) {
		for _, pw := range []string{password, url.QueryEscape(password), url.UserPassword("", password).String()} {
			err := warren.Broker{URLs: []string{before + secret + pw + secret + after}}.Validate()
			if err != nil && strings.Contains(strings.ToUpper(err.Error()), secret) {
				t.Fatalf("the error says %q", err)
			}
		}
	})
}
