package vhost

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestEveryHostHasExchangesOfEachKind(t *testing.T) {
	t.Parallel()
	c := alone(t)
	c.queue("q")
	for _, name := range []string{"amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"} {
		c.bind("q", name, "k")
		c.send(name, "k", name, codec.Properties{})
		same(t, "routed", c.bodies("q"), name)
		c.ok(c.QueueUnbind(&codec.QueueUnbind{Queue: "q", Exchange: name, RoutingKey: "k"}))
		same(t, "routed after unbind", c.send(name, "k", name, codec.Properties{}).Routed, false)
	}
}

// naive says what a pattern means.
func naive(pattern, key []string) bool {
	switch {
	case len(pattern) == 0:
		return len(key) == 0
	case pattern[0] == "#":
		return naive(pattern[1:], key) || len(key) > 0 && naive(pattern, key[1:])
	default:
		return len(key) > 0 && (pattern[0] == "*" || pattern[0] == key[0]) && naive(pattern[1:], key[1:])
	}
}

func TestTopicsMeanWhatTheyShould(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.SliceOfN(rapid.SampledFrom([]string{"#", "*", "a", "b", ""}), 0, 9).Draw(t, "pattern")
		key := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "", "#", "*"}), 0, 9).Draw(t, "key")
		if got, want := matchWords(pattern, key), naive(pattern, key); got != want {
			t.Fatalf("pattern %q, key %q: %v", pattern, key, got)
		}
	})
}

// TestHeadersMatchByValue has what RabbitMQ 3.10.8 was seen to do.
func TestHeadersMatchByValue(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		binding, header any
		match           bool
	}{
		"integers of other widths":          {int32(5), int64(5), true},
		"other integers":                    {int32(5), int64(6), false},
		"string and bytes":                  {"a", []byte("a"), true},
		"float and double":                  {float32(1.5), 1.5, true},
		"integer and double":                {int32(1), 1.0, true},
		"double and integer":                {1.0, int64(1), true},
		"a large integer and nearly that":   {int64(1<<53 + 1), float64(1 << 53), false},
		"a time and its seconds":            {time.Unix(5, 0), int64(5), true},
		"bool and string":                   {true, "true", false},
		"bool and bool":                     {true, true, true},
		"nothing and anything":              {nil, "x", true},
		"something and nothing":             {"x", nil, false},
		"arrays":                            {[]any{int32(1)}, []any{int32(1)}, true},
		"arrays of integers of two widths":  {[]any{int32(1)}, []any{int64(1)}, false},
		"tables":                            {table("a", "1", "b", "2"), table("a", "1", "b", "2"), true},
		"tables with the keys in two order": {table("a", "1", "b", "2"), table("b", "2", "a", "1"), false},
	} {
		for _, more := range []int{0, 100} { // so many other headers
			c := alone(t)
			c.queue("q")
			c.bind("q", "amq.headers", "", "k", row.binding)
			headers := table("k", row.header)
			for i := range more {
				headers = headers.With(strings.Repeat("x", i+1), int32(1))
			}
			got := c.send("amq.headers", "", "m", codec.Properties{Present: codec.HasHeaders, Headers: headers}).Routed
			same(t, name, got, row.match)
		}
	}
}
