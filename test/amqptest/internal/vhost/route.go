package vhost

import (
	"slices"
	"strings"

	"github.com/warren-rpc/warren/test/amqptest/internal/codec"
)

// Headers that name further routing keys.
const (
	headerCC  = "CC"
	headerBCC = "BCC"
)

// route finds the queues for a message, each once.
func (h *Host) route(start *exchange, keys []string, headers codec.Table) []*queue {
	if start.name == "" {
		return h.queuesNamed(keys)
	}
	var (
		found []*queue
		seen  = map[*exchange]bool{start: true}
		work  = []*exchange{start}
	)
	visit := func(x *exchange) {
		if x != nil && !seen[x] {
			seen[x] = true
			work = append(work, x)
		}
	}
	for len(work) > 0 {
		x := work[0]
		work = work[1:]
		if x.name == "" {
			for _, q := range h.queuesNamed(keys) {
				if !slices.Contains(found, q) {
					found = append(found, q)
				}
			}
			continue
		}
		matched := false
		for _, b := range x.match(keys, headers) {
			matched = true
			if b.exchange != nil {
				visit(b.exchange)
			} else if !slices.Contains(found, b.queue) {
				found = append(found, b.queue)
			}
		}
		if alternate := x.alternate(); !matched && alternate != "" {
			visit(h.exchanges[alternate])
		}
	}
	return found
}

func (h *Host) queuesNamed(keys []string) []*queue {
	var found []*queue
	for _, key := range keys {
		if q := h.queues[key]; q != nil && !slices.Contains(found, q) {
			found = append(found, q)
		}
	}
	return found
}

// match returns the bindings of an exchange that a message follows.
func (x *exchange) match(keys []string, headers codec.Table) []*binding {
	switch x.kind {
	case kindFanout:
		return x.bindings
	case kindHeaders:
		return filter(x.bindings, func(b *binding) bool { return matchHeaders(b.arguments, headers) })
	case kindTopic:
		return filter(x.bindings, func(b *binding) bool {
			return slices.ContainsFunc(keys, func(key string) bool { return matchTopic(b.key, key) })
		})
	default:
		if len(keys) == 1 {
			return x.byKey[keys[0]]
		}
		var list []*binding
		for _, key := range keys {
			list = append(list, x.byKey[key]...)
		}
		return list
	}
}

func filter(list []*binding, match func(*binding) bool) []*binding {
	var kept []*binding
	for _, b := range list {
		if match(b) {
			kept = append(kept, b)
		}
	}
	return kept
}

// matchTopic matches the words of a key with a pattern: * stands for one word, #
// for any number.
func matchTopic(pattern, key string) bool {
	return matchWords(words(pattern), words(key))
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ".")
}

// matchWords takes time in the product of both lengths: on a mismatch only the
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
func matchHeaders(arguments, headers codec.Table) bool {
	mode := "all"
	if v, set := arguments.Get(argMatch); set {
		mode, _ = v.(string)
	}
	any, withX := strings.HasPrefix(mode, "any"), strings.HasSuffix(mode, "-with-x")
	for _, e := range arguments {
		if e.Key == argMatch || !withX && strings.HasPrefix(e.Key, "x-") {
			continue
		}
		v, found := headers.Get(e.Key)
		matched := found && (e.Value == nil || codec.Equal(e.Value, v))
		if matched == any {
			return any
		}
	}
	return !any
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
		return nil, fail(codec.PreconditionFailed, "unacceptable type in '%s' header: %s", name, typeName(v))
	}
	var keys []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, fail(codec.PreconditionFailed, "unacceptable type in '%s' header: %s", name, typeName(e))
		}
		keys = append(keys, s)
	}
	return keys, nil
}
