package codec

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// Equal reports whether two values of a table are the same to RabbitMQ when it compares the arguments of a declaration
// with those of what exists: integers of different widths are equal, and so are floats, if the numbers are. A string is
// not equal to the same bytes as 'x'. Tables are equal whatever the order of their keys; NaN equals NaN. A value of
// another type than [Table] lists is equal to none.
func Equal(a, b any) bool {
	if x, ok := Integer(a); ok {
		y, ok := Integer(b)
		return ok && x == y
	}
	if x, ok := float(a); ok {
		y, ok := float(b)
		return ok && cmp.Compare(x, y) == 0
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool:
		b, ok := b.(bool)
		return ok && a == b
	case string:
		b, ok := b.(string)
		return ok && a == b
	case Decimal:
		b, ok := b.(Decimal)
		return ok && a == b
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Unix() == b.Unix()
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, Equal)
	case Table:
		b, ok := b.(Table)
		return ok && equalTables(a, b)
	default:
		return false
	}
}

func equalTables(a, b Table) bool {
	if len(a) != len(b) {
		return false
	}
	return slices.EqualFunc(byKey(a), byKey(b), func(x, y Entry) bool {
		return x.Key == y.Key && Equal(x.Value, y.Value)
	})
}

// byKey returns t sorted by key; values of one key keep their order.
func byKey(t Table) Table {
	order := func(x, y Entry) int { return cmp.Compare(x.Key, y.Key) }
	if slices.IsSortedFunc(t, order) {
		return t
	}
	sorted := slices.Clone(t)
	slices.SortStableFunc(sorted, order)
	return sorted
}

// Integer returns the value of an integer of any width that a table may hold.
func Integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case uint8:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int32:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int64:
		return v, true
	case Long:
		return int64(v), true
	default:
		return 0, false
	}
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	default:
		return 0, false
	}
}
