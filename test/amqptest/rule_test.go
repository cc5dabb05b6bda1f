package amqptest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

func TestEveryMethodHasASender(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"heartbeat": true, "frame.method": true, "frame.header": true, "frame.body": true, "frame.heartbeat": true}
	for class := range uint16(200) {
		for method := range uint16(200) {
			if name := codec.MethodName(class, method); name != "" {
				known[name] = true
			}
		}
	}
	for name := range known {
		if _, ok := methodSenders[name]; !ok {
			t.Errorf("nobody sends %s", name)
		}
	}
	for name := range methodSenders {
		if !known[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestRuleMeetsTheMatchesThatItSays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule Rule
		met  []int // of 12 matches
	}{
		{Rule{}, []int{1}},
		{Rule{Nth: 3}, []int{3}},
		{Rule{Nth: 3, Times: 2}, []int{3, 4}},
		{Rule{Nth: 10, Times: Always}, []int{10, 11, 12}},
		{Rule{Every: 5}, []int{1, 6, 11}},
		{Rule{Nth: 5, Every: 5}, []int{5, 10}},
		{Rule{Nth: 2, Every: 3, Times: 2}, []int{2, 5}},
		{Rule{Nth: 11, Every: 1}, []int{11, 12}},
	} {
		var met []int
		for n := 1; n <= 12; n++ {
			if test.rule.meets(n, len(met)) {
				met = append(met, n)
			}
		}
		if !slices.Equal(met, test.met) {
			t.Errorf("nth %d every %d times %d meets %v; want %v", test.rule.Nth, test.rule.Every, test.rule.Times, met, test.met)
		}
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "anything", true},
		{"a", "a", true}, {"a", "", false}, {"a", "ab", false}, {"ab", "a", false},
		{"*", "", true}, {"*", "a.b/c", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"*b", "abc", false},
		{"a*c*e", "abcde", true}, {"a*c*e", "abcd", false}, {"*ab", "aab", true}, {"a**b", "ab", true},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"?", "", false},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {`\?`, "?", true}, {`a\\b`, `a\b`, true}, {`a\`, `a\`, true},
		{"basic.*", "basic.publish", true}, {"basic.*", "queue.bind", false},
	} {
		if got := glob(test.pattern, test.s); got != test.want {
			t.Errorf("glob(%q, %q) = %v", test.pattern, test.s, got)
		}
	}
	start := time.Now()
	if glob(strings.Repeat("*a", 100)+"b", strings.Repeat("a", 255)) {
		t.Error("a pattern that ends in b matches a string of a's")
	}
	if d := time.Since(start); d > patience.Soon {
		t.Errorf("a pattern of many stars took %v", d)
	}
}

func TestRuleMatchesOnlyWhatItsActionsCanMeet(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule       Rule
		yes, other []string
	}{
		{Rule{Do: Nack()}, []string{"> basic.publish"}, []string{"> basic.ack", "< basic.deliver", "< basic.nack"}},
		{Rule{Do: Corrupt()}, []string{"< basic.deliver", "< basic.ack"}, []string{"> basic.ack", "< heartbeat", "< frame.body"}},
		{Rule{Do: CancelConsumer("")}, []string{"< basic.deliver", "> basic.consume"}, []string{"> basic.publish"}},
		{Rule{Do: CancelConsumer("q")}, []string{"> basic.publish"}, []string{"> frame.body"}},
		{Rule{Do: CloseChannel(404, "")}, []string{"> basic.publish", "< basic.deliver"}, []string{"> channel.close", "> connection.open"}},
		{Rule{Do: Drop()}, []string{"> basic.publish", "> connection.open", "< basic.ack"}, []string{"> heartbeat", "< frame.body"}},
		{Rule{When: When{Method: "heartbeat"}, Do: Drop()}, []string{"> heartbeat", "< heartbeat"}, []string{"> basic.ack"}},
		{Rule{When: When{Method: "frame.*"}, Do: Drop()}, []string{"> frame.body", "< frame.heartbeat"}, []string{"> heartbeat"}},
		{
			Rule{When: When{Method: "basic.ack", Direction: FromClient}, Do: SeverBefore()},
			[]string{"> basic.ack"}, []string{"< basic.ack"},
		},
	} {
		m, err := test.rule.compile()
		if err != nil {
			t.Fatal(err)
		}
		for want, list := range map[bool][]string{true: test.yes, false: test.other} {
			for _, text := range list {
				arrow, method, _ := strings.Cut(text, " ")
				ev := &Event{Method: method, Direction: FromClient}
				if arrow == "<" {
					ev.Direction = FromBroker
				}
				if got := m.plain(ev); got != want {
					t.Errorf("%v: %s matches: %v", test.rule, text, got)
				}
			}
		}
	}
}

func TestWhenComparesWhatIsSet(t *testing.T) {
	t.Parallel()
	ev := Event{
		Conn: 2, ConnName: "billing 1", User: "guest", VHost: "/", Direction: FromBroker, Channel: 3,
		Method: "basic.deliver", Queue: "orders", RoutingKey: "orders", ConsumerTag: "ctag",
		props: &codec.Properties{Present: codec.HasHeaders, Headers: codec.Table{{Key: "kind", Value: "order"}}},
		body:  []byte("hello"),
	}
	yes := []When{
		{}, {Conn: 2}, {ConnName: "billing*"}, {User: "guest"}, {VHost: "/"}, {Direction: FromBroker}, {Channel: 3},
		{Method: "basic.deliver"}, {Queue: "orders"}, {RoutingKey: "ord*"}, {ConsumerTag: "c*"}, {Exchange: DefaultExchange},
		{Message: func(m *Message) bool { return string(m.Body) == "hello" && m.Headers["kind"] == "order" }},
		{Event: func(ev *Event) bool { return ev.Message != nil && ev.Queue == "orders" }},
	}
	no := []When{
		{Conn: 1}, {ConnName: "billing"}, {User: "g"}, {VHost: "x"}, {Direction: FromClient}, {Channel: 4},
		{Method: "basic.ack"}, {Queue: "order"}, {RoutingKey: "x*"}, {ConsumerTag: "x"}, {Exchange: "amq.direct"},
		{Message: func(*Message) bool { return false }}, {Event: func(*Event) bool { return false }},
	}
	for want, list := range map[bool][]When{true: yes, false: no} {
		for _, w := range list {
			m, err := w.compile()
			if err != nil {
				t.Fatal(err)
			}
			if got := m.find(&ev) != nil; got != want {
				t.Errorf("%s matches: %v", w.describe(), got)
			}
		}
	}
	m, err := When{Message: func(*Message) bool { return true }}.compile()
	if err != nil {
		t.Fatal(err)
	}
	if m.find(&Event{Method: "basic.ack", Direction: FromClient}) != nil {
		t.Error("a method without a message matches a condition on messages")
	}
}

func TestInvalidRulesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule   Rule
		reason string
	}{
		{Rule{}, "Do is not set"},
		{Rule{Do: Drop(), Then: []Action{{}}}, "not as a literal"},
		{Rule{Do: Drop(), Nth: -1}, "Nth is -1"},
		{Rule{Do: Drop(), Every: -1}, "Every is -1"},
		{Rule{Do: Drop(), Times: -2}, "Times is -2"},
		{Rule{Do: Drop(), When: When{Conn: -1}}, "Conn is -1"},
		{Rule{Do: Drop(), When: When{Direction: 7}}, "no direction 7"},
		{Rule{Do: Delay(0)}, "not above 0"},
		{Rule{Do: Block(-1)}, "not between 0"},
		{Rule{Do: Duplicate(1001)}, "not between 1"},
		{Rule{Do: CloseChannel(0, "x")}, "needs a reply code"},
		{Rule{Do: CloseConnection(320, strings.Repeat("x", 201))}, "201 bytes"},
		{Rule{Do: CancelConsumer(strings.Repeat("x", 256))}, "256 bytes"},
		{Rule{Do: Restart(Keep(9), 0)}, "no such Keep"},
		{Rule{Do: Do(nil)}, "function is nil"},
	} {
		err := test.rule.Validate()
		if err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%+v: error is %v; want %s", test.rule, err, test.reason)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Inject took a rule that is not valid")
		}
	}()
	(&Broker{}).Inject(Rule{})
}
