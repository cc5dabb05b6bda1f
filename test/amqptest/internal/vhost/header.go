package vhost

import (
	"bytes"
	"math"
	"slices"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// sameHeader compares a header with what a binding asks for, as RabbitMQ 3.10
// was seen to do: by value, whatever the types, so that 5 is 5.0 and a string is
// the same bytes; but what stands in an array or a table also has to have the
// same type, and the same place.
func sameHeader(a, b any) bool {
	if x, ok := number64(a); ok {
		y, ok := number64(b)
		return ok && sameNumber(x, y)
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return x == y
		}
	}
	if x, ok := octets(a); ok {
		y, ok := octets(b)
		return ok && bytes.Equal(x, y)
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameTyped)
	case codec.Table:
		b, ok := b.(codec.Table)
		return ok && slices.EqualFunc(a, b, func(x, y codec.Entry) bool { return x.Key == y.Key && sameTyped(x.Value, y.Value) })
	default:
		return codec.Equal(a, b)
	}
}

func sameTyped(a, b any) bool { return typeName(a) == typeName(b) && sameHeader(a, b) }

// shortLongs is a table with an int64 for each [codec.Long].
func shortLongs(t codec.Table) codec.Table {
	if !hasLong(t) {
		return t
	}
	return withoutLongs(t).(codec.Table) //nolint:errcheck // A table comes of a table.
}

func hasLong(v any) bool {
	switch v := v.(type) {
	case codec.Long:
		return true
	case []any:
		return slices.ContainsFunc(v, hasLong)
	case codec.Table:
		return slices.ContainsFunc(v, func(e codec.Entry) bool { return hasLong(e.Value) })
	default:
		return false
	}
}

func withoutLongs(v any) any {
	switch v := v.(type) {
	case codec.Long:
		return int64(v)
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = withoutLongs(element)
		}
		return list
	case codec.Table:
		table := make(codec.Table, len(v))
		for i, e := range v {
			table[i] = codec.Entry{Key: e.Key, Value: withoutLongs(e.Value)}
		}
		return table
	default:
		return v
	}
}

// number64 is a number as an int64 or a float64. A time is its seconds.
func number64(v any) (any, bool) {
	switch v := v.(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	case time.Time:
		return v.Unix(), true
	default:
		return codec.Integer(v)
	}
}

func sameNumber(x, y any) bool {
	i, isInteger := x.(int64)
	f, isFloat := y.(float64)
	if !isInteger && !isFloat {
		return sameNumber(y, x)
	}
	if !isInteger || !isFloat {
		return x == y
	}
	return f == math.Trunc(f) && f >= math.MinInt64 && f < -math.MinInt64 && int64(f) == i
}

func octets(v any) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return []byte(v), true
	case []byte:
		return v, true
	default:
		return nil, false
	}
}
