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
