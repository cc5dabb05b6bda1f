package amqptest

import (
	"fmt"
	"strconv"
	"strings"
)

// String gives the rule as a line of text, from which ParseRule makes the same rule again:
//
//	basic.deliver from-broker queue=orders nth=3: sever-after
//
// First comes what matches: a method, from-client or from-broker, and conn, conn-name, user, vhost, channel, queue,
// exchange, key, consumer, each with its value; or "any". Then name, nth, every and times (a number, or "always"). After
// a colon come the actions with their arguments, separated by commas: drop, delay 50ms, duplicate 2, reorder 1s,
// sever-before, sever-after, never-confirm, nack, return, cancel-consumer [queue], block [2s], stall [2s], half-open,
// corrupt, restart keep-messages|lose-messages|lose-all [500ms], close-channel 404 "no queue", close-connection 320
// "forced". Words with other characters than letters, digits and . _ - * ? / @ $ ~ + \ are quoted as in Go.
//
// A rule with functions prints "func" in their places, which ParseRule does not take.
func (r Rule) String() string {
	words := r.When.words()
	if r.Name != "" {
		words = append(words, "name="+quoteWord(r.Name))
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"nth", r.Nth}, {"every", r.Every}, {"times", r.Times}} {
		switch {
		case n.key == "times" && n.value == Always:
			words = append(words, "times=always")
		case n.value != 0:
			words = append(words, n.key+"="+strconv.Itoa(n.value))
		}
	}
	if len(words) == 0 {
		words = []string{"any"}
	}
	return strings.Join(words, " ") + ": " + joinActions(r.actions())
}

// describe is what stands before the colon of a rule.
func (w When) describe() string {
	if words := w.words(); len(words) > 0 {
		return strings.Join(words, " ")
	}
	return "any"
}

func (w When) words() []string {
	var words []string
	if w.Method != "" {
		words = append(words, quoteWord(w.Method))
	}
	if w.Direction != 0 {
		words = append(words, w.Direction.String())
	}
	for _, key := range whenKeys {
		if text := key.get(&w); text != "" {
			words = append(words, key.name+"="+text)
		}
	}
	if w.Message != nil {
		words = append(words, "message=func")
	}
	if w.Event != nil {
		words = append(words, "event=func")
	}
	return words
}

// whenKey is a condition that is written as key=value.
type whenKey struct {
	name string
	get  func(*When) string // "" if it is not set
	set  func(*When, string) error
}

var whenKeys = []whenKey{
	{"conn", func(w *When) string { return numberWord(w.Conn) }, func(w *When, s string) (err error) {
		w.Conn, err = parseNumber(s, maxNumber)
		return err
	}},
	patternKey("conn-name", func(w *When) *string { return &w.ConnName }),
	patternKey("user", func(w *When) *string { return &w.User }),
	patternKey("vhost", func(w *When) *string { return &w.VHost }),
	{"channel", func(w *When) string { return numberWord(int(w.Channel)) }, func(w *When, s string) error {
		n, err := parseNumber(s, 1<<16-1)
		w.Channel = uint16(n)
		return err
	}},
	patternKey("queue", func(w *When) *string { return &w.Queue }),
	patternKey("exchange", func(w *When) *string { return &w.Exchange }),
	patternKey("key", func(w *When) *string { return &w.RoutingKey }),
	patternKey("consumer", func(w *When) *string { return &w.ConsumerTag }),
}

func patternKey(name string, field func(*When) *string) whenKey {
	return whenKey{
		name: name,
		get: func(w *When) string {
			if *field(w) == "" {
				return ""
			}
			return quoteWord(*field(w))
		},
		set: func(w *When, s string) error {
			*field(w) = s
			return nil
		},
	}
}

func numberWord(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

const maxNumber = 1<<31 - 1

// parseNumber reads a number from 1 on.
func parseNumber(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, most)
	}
	return n, nil
}

// quoteWord quotes what the scanner would not take for one plain word.
func quoteWord(s string) string {
	for i := range len(s) {
		if !plainByte(s[i]) {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

func plainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(`._-*?/@$~+\`, c) >= 0
}
