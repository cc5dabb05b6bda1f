package amqptest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	dumpedEvents = 50
	shownBody    = 64 // bytes
)

// String gives the event on one line, for logs; long bodies are cut.
//
//	#12 15:04:05.000000 conn 2 "orders" > basic.publish ch 1 exchange=amq.default key=orders mandatory 5 B "hello" [nack]
//
// The arrow is > for what the client sends and < for what the broker sends; faults that met it stand in brackets.
func (ev Event) String() string {
	var b strings.Builder
	arrow := ">"
	if ev.Direction == FromBroker {
		arrow = "<"
	}
	fmt.Fprintf(&b, "#%d %s conn %d", ev.Seq, ev.At.Format("15:04:05.000000"), ev.Conn)
	if ev.ConnName != "" {
		fmt.Fprintf(&b, " %q", cut(ev.ConnName))
	}
	fmt.Fprintf(&b, " %s %s", arrow, ev.Method)
	if ev.Channel != 0 {
		fmt.Fprintf(&b, " ch %d", ev.Channel)
	}
	ev.details(&b)
	message := ev.Message
	if message == nil && ev.props != nil {
		message = newMessage(ev.props, ev.body)
	}
	if message != nil {
		message.details(&b)
	}
	if len(ev.Faults) > 0 {
		fmt.Fprintf(&b, " [%s]", strings.Join(ev.Faults, "; "))
	}
	return b.String()
}

func (ev *Event) details(b *strings.Builder) {
	field(b, "queue", ev.Queue)
	exchange := ev.Exchange
	if exchange == "" && (ev.Message != nil || ev.props != nil) {
		exchange = DefaultExchange
	}
	field(b, "exchange", exchange)
	field(b, "key", ev.RoutingKey)
	field(b, "consumer", ev.ConsumerTag)
	if ev.DeliveryTag != 0 {
		fmt.Fprintf(b, " tag=%d", ev.DeliveryTag)
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{ev.Multiple, "multiple"}, {ev.Redelivered, "redelivered"}, {ev.Mandatory, "mandatory"}} {
		if flag.set {
			b.WriteString(" " + flag.name)
		}
	}
	if ev.ReplyCode != 0 {
		fmt.Fprintf(b, " %d", ev.ReplyCode)
	}
	if ev.ReplyText != "" {
		fmt.Fprintf(b, " %q", cut(ev.ReplyText))
	}
}

func (m *Message) details(b *strings.Builder) {
	field(b, "correlation", m.CorrelationID)
	field(b, "reply-to", m.ReplyTo)
	field(b, "type", m.Type)
	fmt.Fprintf(b, " %d B", len(m.Body))
	if len(m.Body) == 0 {
		return
	}
	if body := m.Body[:min(len(m.Body), shownBody+utf8.UTFMax)]; utf8.Valid(m.Body[:min(len(m.Body), shownBody)]) ||
		utf8.ValidString(cut(string(body))) {
		fmt.Fprintf(b, " %q", cut(string(body)))
	} else {
		fmt.Fprintf(b, " %x", m.Body[:min(len(m.Body), shownBody/2)])
	}
}

func field(b *strings.Builder, name, value string) {
	if value != "" {
		fmt.Fprintf(b, " %s=%s", name, quoteWord(cut(value)))
	}
}

// cut shortens a text to shownBody bytes or a little less, at the end of a character.
func cut(s string) string {
	if len(s) <= shownBody {
		return s
	}
	n := shownBody
	for n > shownBody-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// failureReport is what a failed test wants to know: the rules, the seed that they were drawn from and how to draw them again,
// and the last events.
func (b *Broker) failureReport(test string) string {
	var w, counts strings.Builder
	fs := &b.faults
	fs.mu.Lock()
	list := slices.DeleteFunc(fs.since(0), func(ev *Event) bool { return ev.Method == methodHeartbeat && ev.Faults == nil })
	if rules := fs.rules.Load(); rules != nil {
		for _, f := range *rules {
			fmt.Fprintf(&counts, "  %s (met %d of %d matches)\n", f.rule, f.meetings, f.matches)
		}
	}
	fs.mu.Unlock()

	if fs.drawn > 0 {
		fmt.Fprintf(&w, "%d faults were drawn from seed %d; to draw them again: %s=%d go test -count=1 -run '%s'\n",
			fs.drawn, fs.seed, seedVariable, fs.seed, testPattern(test))
	}
	if counts.Len() > 0 {
		fmt.Fprintf(&w, "faults in force:\n%s", counts.String())
	}
	if len(list) > 0 {
		list = list[max(0, len(list)-dumpedEvents):]
		fmt.Fprintf(&w, "the last %d events, but for heartbeats:\n", len(list))
	}
	for _, ev := range list {
		fmt.Fprintf(&w, "  %v\n", *ev)
	}
	return w.String()
}

// testPattern is what go test's -run selects one test by.
func testPattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
