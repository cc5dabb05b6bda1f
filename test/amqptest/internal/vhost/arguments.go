package vhost

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// The arguments of queues.
const (
	argQueueType            = "x-queue-type"
	argExpires              = "x-expires"
	argMessageTTL           = "x-message-ttl"
	argDeadLetterExchange   = "x-dead-letter-exchange"
	argDeadLetterRoutingKey = "x-dead-letter-routing-key"
	argDeadLetterStrategy   = "x-dead-letter-strategy"
	argMaxLength            = "x-max-length"
	argMaxLengthBytes       = "x-max-length-bytes"
	argMaxPriority          = "x-max-priority"
	argMaxAge               = "x-max-age"
	argOverflow             = "x-overflow"
	argSingleActive         = "x-single-active-consumer"
	argDeliveryLimit        = "x-delivery-limit"
	argGroupSize            = "x-quorum-initial-group-size"
	argQueueMode            = "x-queue-mode"
)

const (
	typeClassic = "classic"
	typeQuorum  = "quorum"

	overflowReject           = "reject-publish"
	overflowRejectDeadLetter = "reject-publish-dlx"
)

// queueArguments are those that RabbitMQ checks and compares, with what their
// values must be and the type of queue that alone takes them. Others are taken
// and ignored.
var queueArguments = []struct {
	name, only string
	apply      func(q *queue, v any) error
}{
	{argQueueType, "", text(func(q *queue, s string) error {
		if s != typeClassic && s != typeQuorum {
			return fmt.Errorf("\"unsupported queue type '%s'\"", s)
		}
		q.quorum = s == typeQuorum
		return nil
	})},
	{argExpires, "", milliseconds(1, func(q *queue, d time.Duration) { q.expires = d })},
	{argMessageTTL, "", milliseconds(0, func(q *queue, d time.Duration) { q.ttl, q.hasTTL = d, true })},
	{argDeadLetterExchange, "", text(func(q *queue, s string) error {
		q.deadLetterExchange, q.hasDeadLetters = s, true
		return nil
	})},
	{argDeadLetterRoutingKey, "", text(func(q *queue, s string) error {
		q.deadLetterKey, q.hasDeadLetterKey = s, true
		return nil
	})},
	{argDeadLetterStrategy, typeQuorum, oneOf("invalid_dlx_strategy", "at-most-once", "at-least-once")},
	{argMaxLength, "", number(0, func(q *queue, n int64) { q.maxLength = int(n) })},
	{argMaxLengthBytes, "", number(0, func(q *queue, n int64) { q.maxBytes = n })},
	{argMaxPriority, typeClassic, func(q *queue, v any) error {
		if n, ok := codec.Integer(v); ok && n > 255 {
			return fmt.Errorf("{max_value_exceeded,%d}", n)
		}
		return number(0, func(q *queue, n int64) { q.maxPriority = int(n) })(q, v)
	}},
	{argMaxAge, "stream", text(nothing)},
	{argQueueMode, typeClassic, oneOf("invalid_queue_mode", "default", "lazy")},
	{argOverflow, "", func(q *queue, v any) error {
		q.overflow, _ = v.(string)
		return oneOf("invalid_overflow", "drop-head", overflowReject, overflowRejectDeadLetter)(q, v)
	}},
	{argSingleActive, "", func(q *queue, v any) error {
		on, ok := v.(bool)
		if !ok {
			return unacceptable(v)
		}
		q.singleActive = on
		return nil
	}},
	{argDeliveryLimit, typeQuorum, func(q *queue, v any) error {
		// RabbitMQ takes anything; what is no number, or a negative one, is no limit.
		if n, ok := codec.Integer(v); ok && n >= 0 {
			q.deliveryLimit = int(n)
		}
		return nil
	}},
	{argGroupSize, typeQuorum, number(1, func(*queue, int64) {})},
}

func nothing(*queue, string) error { return nil }

func oneOf(flaw string, values ...string) func(*queue, any) error {
	return text(func(_ *queue, s string) error {
		if !slices.Contains(values, s) {
			return errors.New(flaw)
		}
		return nil
	})
}

func number(least int64, set func(*queue, int64)) func(*queue, any) error {
	return func(q *queue, v any) error {
		n, ok := codec.Integer(v)
		switch {
		case !ok:
			return fmt.Errorf("\"expected integer, got %s\"", typeName(v))
		case n == 0 && least > 0:
			return fmt.Errorf("{value_zero,%d}", n)
		case n < least:
			return fmt.Errorf("{value_negative,%d}", n)
		}
		set(q, n)
		return nil
	}
}

// maxMilliseconds is the longest time that RabbitMQ takes: ten years.
const maxMilliseconds = 10 * 365 * 24 * 60 * 60 * 1000

func milliseconds(least int64, set func(*queue, time.Duration)) func(*queue, any) error {
	checked := number(least, func(q *queue, n int64) { set(q, time.Duration(n)*time.Millisecond) })
	return func(q *queue, v any) error {
		if n, ok := codec.Integer(v); ok && n > maxMilliseconds {
			return fmt.Errorf("{value_too_large,%d}", n)
		}
		return checked(q, v)
	}
}

func text(use func(*queue, string) error) func(*queue, any) error {
	return func(q *queue, v any) error {
		s, ok := v.(string)
		if !ok {
			return unacceptable(v)
		}
		return use(q, s)
	}
}

func unacceptable(v any) error { return fmt.Errorf("{unacceptable_type,%s}", typeName(v)) }

// configure makes a new queue obey its arguments. given is the name that the
// client gave it, if any.
func (q *queue) configure(given string) error {
	q.maxLength, q.maxBytes, q.deliveryLimit = -1, -1, -1
	if v, set := q.arguments.Get(argDeadLetterExchange); set {
		if _, ok := v.(string); !ok {
			return fail(codec.PreconditionFailed, "invalid type '%s' for arg '%s' in %s", typeName(v), argDeadLetterExchange, q.label())
		}
	}
	for _, a := range queueArguments {
		v, set := q.arguments.Get(a.name)
		if !set {
			continue
		}
		if err := a.apply(q, v); err != nil {
			return fail(codec.PreconditionFailed, "invalid arg '%s' for %s: %v", a.name, q.label(), err)
		}
	}
	if q.hasDeadLetterKey && !q.hasDeadLetters {
		return fail(codec.PreconditionFailed, "invalid arg '%s' for %s: routing_key_but_no_dlx_defined", argDeadLetterRoutingKey, q.label())
	}
	for _, a := range queueArguments {
		if _, set := q.arguments.Get(a.name); set && a.only != "" && a.only != q.kind() {
			return fail(codec.PreconditionFailed, "invalid arg '%s' for %s of queue type rabbit_%s_queue", a.name, q.label(), q.kind())
		}
	}
	if q.quorum {
		if err := q.checkQuorum(given); err != nil {
			return err
		}
	}
	q.ready = newBacklog(q.maxPriority)
	return nil
}

// checkQuorum refuses what a quorum queue cannot be.
func (q *queue) checkQuorum(given string) error {
	if given == "" {
		return fail(codec.PreconditionFailed, "Cannot declare a server-named queue for type rabbit_quorum_queue")
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{!q.durable, "non-durable"}, {q.autoDelete, "auto-delete"}, {q.owner != nil, "exclusive-owner"}} {
		if flag.set {
			return fail(codec.PreconditionFailed, "invalid property '%s' for %s", flag.name, q.label())
		}
	}
	return nil
}

func (q *queue) label() string { return q.host.label("queue", q.name) }

// sameProperty and sameArgument refuse a declaration that differs from what
// there is.
func sameProperty(where, name, received, current string) error {
	if received == current {
		return nil
	}
	return differs(where, name, received, current)
}

func differs(where, name string, received, current any) error {
	return fail(codec.PreconditionFailed, "inequivalent arg '%s' for %s: received '%v' but current is '%v'", name, where, received, current)
}

func sameArgument(where, name string, received, current codec.Table) error {
	a, inA := received.Get(name)
	b, inB := current.Get(name)
	if inA == inB && (!inA || codec.Equal(a, b)) {
		return nil
	}
	if inA && inB {
		return differs(where, name, a, b)
	}
	return fail(codec.PreconditionFailed, "inequivalent arg '%s' for %s: received %s but current is %s",
		name, where, described(a, inA), described(b, inB))
}

func described(v any, set bool) string {
	if !set {
		return "none"
	}
	return fmt.Sprintf("the value '%v' of type '%s'", v, typeName(v))
}

func word(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// typeName is RabbitMQ's name of a value's type in a table.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "void"
	case bool:
		return "bool"
	case int8:
		return "byte"
	case uint8:
		return "unsignedbyte"
	case int16:
		return "short"
	case uint16:
		return "unsignedshort"
	case int32:
		return "signedint"
	case uint32:
		return "unsignedint"
	case int64, codec.Long:
		return "long"
	case float32:
		return "float"
	case float64:
		return "double"
	case codec.Decimal:
		return "decimal"
	case string:
		return "longstr"
	case []byte:
		return "binary"
	case time.Time:
		return "timestamp"
	case []any:
		return "array"
	case codec.Table:
		return "table"
	default:
		return strings.TrimPrefix(fmt.Sprintf("%T", v), "codec.")
	}
}
