package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// matching is one binding of a headers exchange, and headers that it matches or
// does not.
type matching struct {
	binding       amqp.Table
	match, differ []amqp.Table
}

var headersMatch = []matching{
	{amqp.Table{"x-match": "all", "a": "1", "b": int32(2)},
		[]amqp.Table{{"a": "1", "b": int32(2)}, {"a": "1", "b": int32(2), "c": true}, {"a": "1", "b": int64(2)}},
		[]amqp.Table{nil, {"a": "1"}, {"a": "1", "b": int32(3)}, {"a": "1", "b": "2"}, {"a": "1", "B": int32(2)}}},
	{amqp.Table{"a": "1", "b": "2"},
		[]amqp.Table{{"a": "1", "b": "2"}},
		[]amqp.Table{{"a": "1"}, {"b": "2"}}},
	{amqp.Table{"x-match": "any", "a": "1", "b": "2"},
		[]amqp.Table{{"a": "1"}, {"b": "2", "a": "3"}},
		[]amqp.Table{nil, {"a": "2", "b": "1"}, {"c": "1"}}},
	{amqp.Table{"x-match": "all", "a": nil},
		[]amqp.Table{{"a": "whatever"}, {"a": int32(1)}, {"a": nil}},
		[]amqp.Table{nil, {"b": "1"}}},
	{amqp.Table{"x-match": "all"}, []amqp.Table{nil, {"a": "1"}}, nil},
	{amqp.Table{"x-match": "any"}, nil, []amqp.Table{nil, {"a": "1"}}},
	{nil, []amqp.Table{nil, {"a": "1"}}, nil},
	{amqp.Table{"x-match": "all", "x-a": "1", "b": "2"},
		[]amqp.Table{{"b": "2"}, {"b": "2", "x-a": "3"}}, []amqp.Table{{"x-a": "1"}}},
	{amqp.Table{"x-match": "any", "x-a": "1", "b": "2"},
		[]amqp.Table{{"b": "2"}}, []amqp.Table{{"x-a": "1"}}},
	{amqp.Table{"x-match": "all-with-x", "x-a": "1", "b": "2"},
		[]amqp.Table{{"b": "2", "x-a": "1"}}, []amqp.Table{{"b": "2"}, {"x-a": "1"}}},
	{amqp.Table{"x-match": "any-with-x", "x-a": "1", "b": "2"},
		[]amqp.Table{{"b": "2"}, {"x-a": "1"}}, []amqp.Table{nil, {"x-a": "2"}}},
}

var headersChecks = []check{
	{"headers exchange routes by headers", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		for _, row := range headersMatch {
			s.bind("q", "key", "amq.headers", row.binding)
			for _, headers := range row.match {
				s.send("amq.headers", "other", amqp.Publishing{Headers: headers})
				if n := len(s.bodies("q")); n != 1 {
					t.Errorf("binding %v does not match %v (%d messages)", row.binding, headers, n)
				}
			}
			for _, headers := range row.differ {
				s.send("amq.headers", "key", amqp.Publishing{Headers: headers})
				if n := len(s.bodies("q")); n != 0 {
					t.Errorf("binding %v matches %v", row.binding, headers)
				}
			}
			s.ok(s.QueueUnbind("q", "key", "amq.headers", row.binding))
		}
	}},
	{"headers exchange refuses an unknown x-match", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.refused(s.QueueBind("q", "k", "amq.headers", false, amqp.Table{"x-match": "some"}), 406, `PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x`)
		s = s.channel()
		s.refused(s.QueueBind("q", "k", "amq.headers", false, amqp.Table{"x-match": int32(1)}), 406, "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr")
	}},
	{"CC and BCC add routing keys, and BCC is not delivered", func(t *testing.T, target Target) {
		s := begin(t, target)
		for _, name := range []string{"q", "cc", "bcc"} {
			s.queue(name, nil)
		}
		s.send("", "q", amqp.Publishing{Headers: amqp.Table{
			"CC": []any{"cc", "q"}, "BCC": []any{"bcc", "nowhere"}, "kept": "yes",
		}})
		for _, name := range []string{"q", "cc", "bcc"} {
			message := s.get(name)
			same(t, name, message.Headers, amqp.Table{"CC": []any{"cc", "q"}, "kept": "yes"})
			same(t, "routing key", message.RoutingKey, "q")
		}
		s.holds("q")
	}},
	{"CC works on a direct and a topic exchange", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.bind("q", "two", "amq.direct", nil)
		s.bind("q", "#.two", "amq.topic", nil)
		cc := amqp.Table{"CC": []any{"two"}}
		s.send("amq.direct", "one", amqp.Publishing{Headers: cc, Body: []byte("direct")})
		s.send("amq.topic", "one", amqp.Publishing{Headers: cc, Body: []byte("topic")})
		s.holds("q", "direct", "topic")
	}},
	{"CC that is no list is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.ok(s.Publish("", "q", false, false, amqp.Publishing{Headers: amqp.Table{"CC": "q"}}))
		s.closes(406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}`)
		s = s.channel()
		s.ok(s.Publish("", "q", false, false, amqp.Publishing{Headers: amqp.Table{"BCC": int32(1)}}))
		s.closes(406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",signedint}`)
	}},
	{"CC skips what is not a string", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.send("", "x", amqp.Publishing{Headers: amqp.Table{"CC": []any{int32(1), "q"}}, Body: []byte("m")})
		s.holds("q", "m")
	}},
}
