package vhost

import (
	"slices"
	"strings"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Headers that name further routing keys.
const (
	headerCC  = "CC"
	headerBCC = "BCC"
)

// route finds the queues for a message, each once.
func (h *Host) route(start *exchange, keys []string, headers codec.Table) []*queue {
	if start.name == "" && len(keys) == 1 {
		if q := h.queues[keys[0]]; q != nil {
			return []*queue{q}
		}
		return nil
	}
	h.round++
	r := &routing{round: h.round, keys: keys, headers: headers}
	r.visit(start)
	for len(r.work) > 0 {
		x := r.work[0]
		r.work = r.work[1:]
		if x.name == "" {
			for _, key := range keys {
				if q := h.queues[key]; q != nil {
					r.add(q)
				}
			}
			continue
		}
		matched := r.follow(x)
		if alternate := x.alternate(); !matched && alternate != "" {
			r.visit(h.exchanges[alternate])
		}
	}
	return r.found
}

// routing is the way of one message.
type routing struct {
	round   uint64 // what has seen it already bears its number
	keys    []string
	headers codec.Table
	work    []*exchange
	found   []*queue

	words  [][]string     // of the keys, once a topic exchange asked
	byName map[string]any // the headers if they are many, once a headers exchange asked
}

func (r *routing) visit(x *exchange) {
	if x != nil && x.round != r.round {
		x.round = r.round
		r.work = append(r.work, x)
	}
}

func (r *routing) add(q *queue) {
	if q.round != r.round {
		q.round = r.round
		r.found = append(r.found, q)
	}
}

// follow takes the message along the bindings of an exchange that match it, and
// says whether any does.
func (r *routing) follow(x *exchange) bool {
	matched := false
	take := func(b *binding) {
		matched = true
		if b.exchange != nil {
			r.visit(b.exchange)
		} else {
			r.add(b.queue)
		}
	}
	if x.kind == kindDirect {
		for _, key := range r.keys {
			for _, b := range x.byKey[key] {
				take(b)
			}
		}
		return matched
	}
	for _, b := range x.bindings {
		if r.matches(x, b) {
			take(b)
		}
	}
	return matched
}

func (r *routing) matches(x *exchange, b *binding) bool {
	switch x.kind {
	case kindHeaders:
		return matchHeaders(b.arguments, r.header)
	case kindTopic:
		if r.words == nil {
			for _, key := range r.keys {
				r.words = append(r.words, words(key))
			}
		}
		return slices.ContainsFunc(r.words, func(key []string) bool { return matchWords(b.words, key) })
	default:
		return true
	}
}

// header is Get of the headers, in time that does not grow with them.
func (r *routing) header(name string) (any, bool) {
	const few = 16
	if len(r.headers) <= few {
		return r.headers.Get(name)
	}
	if r.byName == nil {
		r.byName = make(map[string]any, len(r.headers))
		for _, e := range slices.Backward(r.headers) {
			r.byName[e.Key] = e.Value
		}
	}
	v, found := r.byName[name]
	return v, found
}

// words are the parts of a topic exchange's key or pattern.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ".")
}

// matchWords matches a key with a pattern: * stands for one word, # for any
// number. It takes time in the product of both lengths: on a mismatch only the
// last # is tried further on.
func matchWords(pattern, key []string) bool {
	p, k, hash, from := 0, 0, -1, 0
	for k < len(key) {
		switch {
		case p < len(pattern) && pattern[p] == "#":
			hash, from = p, k
			p++
		case p < len(pattern) && (pattern[p] == "*" || pattern[p] == key[k]):
			p++
			k++
		case hash >= 0:
			from++
			p, k = hash+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "#" {
		p++
	}
	return p == len(pattern)
}

const argMatch = "x-match"

// matchHeaders compares a message's headers with the arguments of a binding.
func matchHeaders(arguments codec.Table, header func(name string) (any, bool)) bool {
	mode := "all"
	if v, set := arguments.Get(argMatch); set {
		mode, _ = v.(string)
	}
	one, withX := strings.HasPrefix(mode, "any"), strings.HasSuffix(mode, "-with-x")
	for _, e := range arguments {
		if e.Key == argMatch || !withX && strings.HasPrefix(e.Key, "x-") {
			continue
		}
		v, found := header(e.Key)
		matched := found && (e.Value == nil || sameHeader(e.Value, v))
		if matched == one { // one that matches is enough, or one that does not
			return one
		}
	}
	return !one
}

// accepts checks the arguments of a binding.
func (x *exchange) accepts(b *binding) error {
	if x.kind != kindHeaders {
		return nil
	}
	v, set := b.arguments.Get(argMatch)
	if !set {
		return nil
	}
	mode, ok := v.(string)
	if !ok {
		return fail(codec.PreconditionFailed, "Invalid x-match field type %s (value %v); expected longstr", typeName(v), v)
	}
	if !slices.Contains([]string{"all", "any", "all-with-x", "any-with-x"}, mode) {
		return fail(codec.PreconditionFailed, "Invalid x-match field value <<\"%s\">>; expected all, any, all-with-x, or any-with-x", mode)
	}
	return nil
}

// routingKeys are a message's routing key and those of its CC and BCC headers.
func routingKeys(key string, headers codec.Table) ([]string, error) {
	keys := []string{key}
	if len(headers) == 0 {
		return keys, nil
	}
	for _, name := range []string{headerCC, headerBCC} {
		more, err := keyList(name, headers)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

func keyList(name string, headers codec.Table) ([]string, error) {
	v, set := headers.Get(name)
	if !set {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fail(codec.PreconditionFailed, "invalid message: {unacceptable_type_in_header,\"%s\",%s}", name, typeName(v))
	}
	var keys []string
	for _, e := range list {
		if s, ok := e.(string); ok {
			keys = append(keys, s)
		}
	}
	return keys, nil
}
