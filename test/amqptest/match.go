package amqptest

import (
	"fmt"
	"strings"
)

// matcher is a When that was checked.
type matcher struct {
	when    When
	methods map[string]Direction // those that match, and who may send them: 0 is both
}

// compile checks that a method matches.
func (w When) compile() (*matcher, error) {
	if w.Direction > FromBroker {
		return nil, fmt.Errorf("there is no direction %d", w.Direction)
	}
	if w.Conn < 0 {
		return nil, fmt.Errorf("field Conn is %d; connections are counted from 1", w.Conn)
	}
	m := &matcher{when: w, methods: make(map[string]Direction)}
	for name, sender := range methodSenders {
		if w.wants(name) {
			m.methods[name] = sender
		}
	}
	if len(m.methods) == 0 {
		return nil, fmt.Errorf("there is no method %q", w.Method)
	}
	m.narrow(func(d Direction, _ string) bool { return w.Direction == 0 || w.Direction == d })
	if len(m.methods) == 0 {
		return nil, fmt.Errorf("no %s is sent %v", w.Method, w.Direction)
	}
	return m, nil
}

// wants says whether a method's name matches.
func (w When) wants(method string) bool {
	switch {
	case method == methodHeartbeat:
		return w.Method == methodHeartbeat
	case strings.HasPrefix(method, framePrefix) != strings.HasPrefix(w.Method, framePrefix):
		return false
	default:
		return glob(w.Method, method)
	}
}

// narrow leaves the methods and directions that ok accepts.
func (m *matcher) narrow(ok func(d Direction, method string) bool) {
	for name, sender := range m.methods {
		client := sender != FromBroker && ok(FromClient, name)
		broker := sender != FromClient && ok(FromBroker, name)
		switch {
		case client && broker:
		case client:
			m.methods[name] = FromClient
		case broker:
			m.methods[name] = FromBroker
		default:
			delete(m.methods, name)
		}
	}
}

// frames says whether single frames can match.
func (m *matcher) frames() bool { return strings.HasPrefix(m.when.Method, framePrefix) }

// plain compares all but what a user's function decides.
func (m *matcher) plain(ev *Event) bool {
	sender, ok := m.methods[ev.Method]
	if !ok || sender != 0 && sender != ev.Direction {
		return false
	}
	w := &m.when
	return (w.Conn == 0 || w.Conn == ev.Conn) && (w.Channel == 0 || w.Channel == ev.Channel) &&
		glob(w.Queue, ev.Queue) && glob(w.RoutingKey, ev.RoutingKey) && w.exchange(ev) &&
		glob(w.ConsumerTag, ev.ConsumerTag) && glob(w.ConnName, ev.ConnName) && glob(w.User, ev.User) &&
		glob(w.VHost, ev.VHost)
}

// asks says whether a user's function decides too.
func (m *matcher) asks() bool { return m.when.Message != nil || m.when.Event != nil }

// asked is what the users' functions say.
func (m *matcher) asked(ev *Event) bool {
	if f := m.when.Message; f != nil && (ev.Message == nil || !f(ev.Message)) {
		return false
	}
	return m.when.Event == nil || m.when.Event(ev)
}

func (w *When) exchange(ev *Event) bool {
	if w.Exchange == DefaultExchange {
		switch ev.Method {
		case "basic.publish", "basic.deliver", "basic.return", "basic.get-ok":
			return ev.Exchange == ""
		default:
			return ev.Exchange == DefaultExchange
		}
	}
	return glob(w.Exchange, ev.Exchange)
}

// glob says whether all of s matches a pattern; the empty pattern matches everything. It takes at most
// len(pattern)·len(s) steps.
func glob(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	var p, i int
	star, from := -1, 0 // the last *, and how far it reaches
	for i < len(s) {
		if p < len(pattern) {
			c, width := pattern[p], 1
			switch {
			case c == '*':
				star, from = p, i
				p++
				continue
			case c == '\\' && p+1 < len(pattern):
				c, width = pattern[p+1], 2
			case c == '?':
				c = s[i]
			}
			if c == s[i] {
				p += width
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		p, i = star+1, from
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
