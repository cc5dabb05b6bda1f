package vhost

import (
	"errors"
	"slices"
	"strings"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// The kinds of exchanges.
const (
	kindDirect  = "direct"
	kindFanout  = "fanout"
	kindTopic   = "topic"
	kindHeaders = "headers"
)

const argAlternateExchange = "alternate-exchange"

type exchange struct {
	name, kind                    string
	durable, autoDelete, internal bool
	arguments                     codec.Table
	bindings                      []*binding            // in the order of binding
	byKey                         map[string][]*binding // of a direct exchange
	round                         uint64                // see routing
}

func newExchange(x exchange) *exchange {
	if x.kind == kindDirect {
		x.byKey = map[string][]*binding{}
	}
	return &x
}

func (x *exchange) alternate() string {
	name, _ := x.arguments.Get(argAlternateExchange)
	s, _ := name.(string)
	return s
}

// binding leads from an exchange to a queue or to another exchange.
type binding struct {
	key       string
	words     []string // of the key, for a topic exchange
	arguments codec.Table
	queue     *queue
	exchange  *exchange
}

func (b *binding) equal(o *binding) bool {
	return b.queue == o.queue && b.exchange == o.exchange && b.key == o.key && codec.Equal(b.arguments, o.arguments)
}

func (h *Host) exchange(name string) (*exchange, error) {
	if x := h.exchanges[name]; x != nil {
		return x, nil
	}
	return nil, fail(codec.NotFound, "no exchange '%s' in vhost '%s'", name, h.name)
}

// ExchangeDeclare makes an exchange, or checks one that exists.
func (ch *Channel) ExchangeDeclare(m *codec.ExchangeDeclare) error {
	h := ch.host
	h.enter()
	defer h.leave()
	name := cleanName(m.Exchange)
	if m.Passive {
		if err := notDefault(name); err != nil {
			return err
		}
		_, err := h.exchange(name)
		return err
	}
	if !slices.Contains([]string{kindDirect, kindFanout, kindTopic, kindHeaders}, m.Type) {
		return fail(codec.CommandInvalid, "unknown exchange type '%s'", m.Type)
	}
	if err := notDefault(name); err != nil {
		return err
	}
	if err := ch.conn.allow(configure, "exchange", name); err != nil {
		return err
	}
	wanted := newExchange(exchange{
		name: name, kind: m.Type, durable: m.Durable, autoDelete: m.AutoDelete, internal: m.Internal, arguments: m.Arguments,
	})
	if x := h.exchanges[name]; x != nil {
		return h.sameExchange(x, wanted)
	}
	if strings.HasPrefix(name, "amq.") {
		return fail(codec.AccessRefused, "exchange name '%s' contains reserved prefix 'amq.*'", name)
	}
	if alternate, set := m.Arguments.Get(argAlternateExchange); set {
		s, ok := alternate.(string)
		if !ok {
			return fail(codec.PreconditionFailed, "invalid type '%s' for arg '%s' in %s", typeName(alternate), argAlternateExchange,
				h.label("exchange", name))
		}
		if err := ch.conn.allow(read, "exchange", name); err != nil {
			return err
		}
		if err := ch.conn.allow(write, "exchange", s); err != nil {
			return err
		}
	}
	h.exchanges[name] = wanted
	return nil
}

// cleanName takes out what RabbitMQ takes out of names that are declared.
func cleanName(name string) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(name)
}

func (h *Host) label(kind, name string) string {
	return kind + " '" + name + "' in vhost '" + h.name + "'"
}

func (h *Host) sameExchange(x, wanted *exchange) error {
	where := h.label("exchange", x.name)
	for _, property := range []struct{ name, received, current string }{
		{"type", wanted.kind, x.kind},
		{"durable", word(wanted.durable), word(x.durable)},
		{"auto_delete", word(wanted.autoDelete), word(x.autoDelete)},
		{"internal", word(wanted.internal), word(x.internal)},
	} {
		if err := sameProperty(where, property.name, property.received, property.current); err != nil {
			return err
		}
	}
	return sameArgument(where, argAlternateExchange, wanted.arguments, x.arguments)
}

func notDefault(name string) error {
	if name == "" {
		return fail(codec.AccessRefused, "operation not permitted on the default exchange")
	}
	return nil
}

// ExchangeDelete removes an exchange with its bindings. It is no error if there
// is none.
func (ch *Channel) ExchangeDelete(m *codec.ExchangeDelete) error {
	h := ch.host
	h.enter()
	defer h.leave()
	name := cleanName(m.Exchange)
	if err := notDefault(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, "amq.") {
		return fail(codec.AccessRefused, "deletion of system %s not allowed", h.label("exchange", name))
	}
	if err := ch.conn.allow(configure, "exchange", name); err != nil {
		return err
	}
	x := h.exchanges[name]
	switch {
	case x == nil:
		return nil
	case m.IfUnused && len(x.bindings) > 0:
		return fail(codec.PreconditionFailed, "%s in use", h.label("exchange", name))
	}
	h.removeExchange(x)
	return nil
}

func (h *Host) removeExchange(x *exchange) {
	if h.exchanges[x.name] != x {
		return
	}
	delete(h.exchanges, x.name)
	x.bindings = nil
	clear(x.byKey)
	h.unbindAll(func(b *binding) bool { return b.exchange == x })
}

// unbindAll removes bindings of all exchanges, and the exchanges that live no
// longer than their bindings.
func (h *Host) unbindAll(match func(*binding) bool) {
	for _, x := range h.exchanges {
		if slices.ContainsFunc(x.bindings, match) {
			h.unbind(x, match)
		}
	}
}

func (h *Host) unbind(x *exchange, match func(*binding) bool) {
	before := len(x.bindings)
	for _, b := range x.bindings {
		if match(b) && x.byKey != nil {
			x.byKey[b.key] = slices.DeleteFunc(x.byKey[b.key], match)
			if len(x.byKey[b.key]) == 0 {
				delete(x.byKey, b.key)
			}
		}
	}
	x.bindings = slices.DeleteFunc(x.bindings, match)
	if x.autoDelete && before > 0 && len(x.bindings) == 0 {
		h.removeExchange(x)
	}
}

func (h *Host) bind(x *exchange, b *binding) {
	if slices.ContainsFunc(x.bindings, b.equal) {
		return
	}
	if x.kind == kindTopic {
		b.words = words(b.key)
	}
	x.bindings = append(x.bindings, b)
	if x.byKey != nil {
		x.byKey[b.key] = append(x.byKey[b.key], b)
	}
}

// ExchangeBind makes an exchange pass messages on to another.
func (ch *Channel) ExchangeBind(m *codec.ExchangeBind) error {
	ch.host.enter()
	defer ch.host.leave()
	source, b, err := ch.exchangeBinding(m.Source, m.Destination, m.RoutingKey, m.Arguments)
	if err == nil {
		ch.host.bind(source, b)
	}
	return err
}

// ExchangeUnbind undoes ExchangeBind. It is no error if there is no such
// binding.
func (ch *Channel) ExchangeUnbind(m *codec.ExchangeUnbind) error {
	ch.host.enter()
	defer ch.host.leave()
	source, b, err := ch.exchangeBinding(m.Source, m.Destination, m.RoutingKey, m.Arguments)
	if err == nil {
		ch.host.unbind(source, b.equal)
	}
	return unlessMissing(err)
}

func (ch *Channel) exchangeBinding(source, destination, key string, args codec.Table) (*exchange, *binding, error) {
	for _, name := range []string{source, destination} {
		if err := notDefault(name); err != nil {
			return nil, nil, err
		}
	}
	if err := ch.conn.allow(write, "exchange", destination); err != nil {
		return nil, nil, err
	}
	if err := ch.conn.allow(read, "exchange", source); err != nil {
		return nil, nil, err
	}
	from, err := ch.host.exchange(source)
	if err != nil {
		return nil, nil, err
	}
	to, err := ch.host.exchange(destination)
	if err != nil {
		return nil, nil, err
	}
	b := &binding{key: key, arguments: args, exchange: to}
	return from, b, from.accepts(b)
}

// QueueBind makes an exchange pass messages on to a queue.
func (ch *Channel) QueueBind(m *codec.QueueBind) error {
	ch.host.enter()
	defer ch.host.leave()
	x, b, err := ch.queueBinding(m.Queue, m.Exchange, m.RoutingKey, m.Arguments)
	if err == nil {
		ch.host.bind(x, b)
	}
	return err
}

// QueueUnbind undoes QueueBind. It is no error if there is no such binding.
func (ch *Channel) QueueUnbind(m *codec.QueueUnbind) error {
	ch.host.enter()
	defer ch.host.leave()
	x, b, err := ch.queueBinding(m.Queue, m.Exchange, m.RoutingKey, m.Arguments)
	if err == nil {
		ch.host.unbind(x, b.equal)
	}
	return unlessMissing(err)
}

// unlessMissing makes it no error to undo what was never done.
func unlessMissing(err error) error {
	var e *codec.Error
	if errors.As(err, &e) && e.Code == codec.NotFound && e.Text != noQueueDeclared {
		return nil
	}
	return err
}

func (ch *Channel) queueBinding(queueName, exchangeName, key string, args codec.Table) (*exchange, *binding, error) {
	name, err := ch.queueName(queueName)
	if err != nil {
		return nil, nil, err
	}
	if queueName == "" && key == "" {
		key = name
	}
	if err := ch.conn.allow(write, "queue", name); err != nil {
		return nil, nil, err
	}
	if err := notDefault(exchangeName); err != nil {
		return nil, nil, err
	}
	if err := ch.conn.allow(read, "exchange", exchangeName); err != nil {
		return nil, nil, err
	}
	x, err := ch.host.exchange(exchangeName)
	if err != nil {
		return nil, nil, err
	}
	q, err := ch.ownQueue(name)
	if err != nil {
		return nil, nil, err
	}
	b := &binding{key: key, arguments: args, queue: q}
	return x, b, x.accepts(b)
}
