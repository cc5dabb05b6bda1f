package amqptest

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// texts are rules in the form in which they are printed.
var texts = []struct {
	text string
	rule Rule
}{
	{"any: drop", Rule{Do: Drop()}},
	{
		"basic.deliver from-broker queue=orders nth=3 times=1: drop",
		Rule{When: When{Method: "basic.deliver", Direction: FromBroker, Queue: "orders"}, Nth: 3, Times: 1, Do: Drop()},
	},
	{
		`basic.* conn=2 conn-name="my app" user=guest vhost=/ channel=7 exchange=amq.default key=a.*.b consumer=c-? every=5 times=always: delay 50ms`,
		Rule{
			When: When{
				Method: "basic.*", Conn: 2, ConnName: "my app", User: "guest", VHost: "/", Channel: 7,
				Exchange: DefaultExchange, RoutingKey: "a.*.b", ConsumerTag: "c-?",
			},
			Every: 5, Times: Always, Do: Delay(50 * time.Millisecond),
		},
	},
	{"name=audit nth=2: duplicate 3, sever-after", Rule{Name: "audit", Nth: 2, Do: Duplicate(3), Then: []Action{SeverAfter()}}},
	{"any: reorder 1s, sever-before", Rule{Do: Reorder(time.Second), Then: []Action{SeverBefore()}}},
	{"any: never-confirm, return", Rule{Do: NeverConfirm(), Then: []Action{Return()}}},
	{"any: nack", Rule{Do: Nack()}},
	{"any: cancel-consumer", Rule{Do: CancelConsumer("")}},
	{`any: cancel-consumer "the queue: a, b"`, Rule{Do: CancelConsumer("the queue: a, b")}},
	{"any: block, stall 2s", Rule{Do: Block(0), Then: []Action{StallReading(2 * time.Second)}}},
	{"any: block 1.5s, stall", Rule{Do: Block(1500 * time.Millisecond), Then: []Action{StallReading(0)}}},
	{"any: half-open", Rule{Do: HalfOpen()}},
	{"from-broker: corrupt", Rule{When: When{Direction: FromBroker}, Do: Corrupt()}},
	{"any: restart keep-messages", Rule{Do: Restart(KeepMessages, 0)}},
	{"any: restart lose-all 500ms", Rule{Do: Restart(LoseAll, 500*time.Millisecond)}},
	{`any: close-channel 404 "no queue 'q'"`, Rule{Do: CloseChannel(404, "no queue 'q'")}},
	{"any: close-connection 320 forced", Rule{Do: CloseConnection(320, "forced")}},
	{`any: close-connection 320 ""`, Rule{Do: CloseConnection(320, "")}},
	{"frame.body from-client: corrupt", Rule{}}, // refused
	{"heartbeat from-client: drop", Rule{When: When{Method: "heartbeat", Direction: FromClient}, Do: Drop()}},
}

func TestRulesReadAsTheyPrint(t *testing.T) {
	t.Parallel()
	for _, test := range texts {
		parsed, err := ParseRule(test.text)
		if test.rule.Do.kind == actionNone {
			if err == nil {
				t.Errorf("%s: taken", test.text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if !reflect.DeepEqual(parsed, test.rule) {
			t.Errorf("%s: read as %+v; want %+v", test.text, parsed, test.rule)
		}
		if got := test.rule.String(); got != test.text {
			t.Errorf("printed as\n%s; want\n%s", got, test.text)
		}
	}
}

func TestRulesTakeSpacesAndNeedless(t *testing.T) {
	t.Parallel()
	r, err := ParseRule("\t any  queue = \"orders\"\tbasic.deliver :drop ,delay 1s ")
	if err != nil {
		t.Fatal(err)
	}
	want := Rule{When: When{Method: "basic.deliver", Queue: "orders"}, Do: Drop(), Then: []Action{Delay(time.Second)}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("read as %v", r)
	}
}

func TestTextsThatAreNoRulesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for text, reason := range map[string]string{
		"":                                   "the end instead of a colon",
		"basic.publish":                      "the end instead of a colon",
		"any:":                               "the end is not an action",
		"any: drop,":                         "the end is not an action",
		"any: drop drop":                     `"drop" instead of a comma after drop`,
		"any: explode":                       `"explode" is not an action`,
		"any: do":                            "do: a function cannot be written",
		"any: delay":                         "delay: time: invalid duration",
		"any: delay -1s":                     "delay: duration -1s is not above 0",
		"any: duplicate 0":                   "duplicate: \"0\" is not a number from 1",
		"any: close-channel 70000":           "is not a number from 1 to 65535",
		"any: restart forgetful":             "is not one of keep-messages",
		"basic.pubish: drop":                 `there is no method "basic.pubish"`,
		"basic.publish from-broker: drop":    "no basic.publish is sent from-broker",
		"basic.deliver: nack":                "nack can do nothing to basic.deliver",
		"from-broker: never-confirm":         "can do nothing to from-broker",
		"basic.publish: corrupt":             "corrupt can do nothing",
		"heartbeat: close-channel 404":       "can do nothing to heartbeat",
		"any: corrupt, nack":                 "can do nothing to any",
		"from-client from-broker: drop":      "two directions",
		"basic.ack basic.nack: drop":         "two methods",
		"queue=a queue=b: drop":              "queue stands there twice",
		"size=3: drop":                       `there is no condition "size"`,
		"event=func: drop":                   "is a function",
		"conn=0: drop":                       "conn: \"0\" is not a number",
		"nth=x: drop":                        "nth: \"x\" is not a number",
		"queue=: drop":                       `":" instead of a value for queue`,
		"queue=\"a: drop":                    "a quote is not closed",
		"queue=a;b: drop":                    "must be quoted",
		"= drop":                             `"=" instead of a colon`,
		"frame.body: sever-after, half-open": "can do nothing to frame.body",
	} {
		_, err := ParseRule(text)
		if err == nil {
			t.Errorf("%q is taken", text)
		} else if !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v; want %s", text, err, reason)
		}
	}
}

func TestSchedulesSkipCommentsAndNameTheLine(t *testing.T) {
	t.Parallel()
	rules, err := ParseRules("# a schedule\n\nany: drop\r\n  basic.publish: nack\n")
	if err != nil || len(rules) != 2 || rules[1].Do.kind != actionNack {
		t.Fatalf("%v, %v", rules, err)
	}
	if _, err := ParseRules("any: drop\n\nany: fly\n"); err == nil || !strings.HasPrefix(err.Error(), "line 3: ") {
		t.Errorf("error is %v; want it to name line 3", err)
	}
}

func TestFunctionsPrintButDoNotParse(t *testing.T) {
	t.Parallel()
	r := Rule{
		When: When{Message: func(*Message) bool { return true }, Event: func(*Event) bool { return true }},
		Do:   Do(func(*Event) {}),
	}
	if got, want := r.String(), "message=func event=func: do"; got != want {
		t.Errorf("printed as %q; want %q", got, want)
	}
	if _, err := ParseRule(r.String()); err == nil {
		t.Error("parsed")
	}
}

func FuzzRule(f *testing.F) {
	for _, test := range texts {
		f.Add(test.text)
	}
	f.Add(`queue="\xff\x00 é" name="": drop`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if err != nil {
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatalf("%q is taken, and not valid: %v", text, err)
		}
		again, err := ParseRule(r.String())
		if err != nil {
			t.Fatalf("%q prints as %q: %v", text, r, err)
		}
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%q prints as %q, which is another rule: %v", text, r, again)
		}
		if r.String() != again.String() {
			t.Fatalf("%q prints as %q and then as %q", text, r, again)
		}
	})
}
