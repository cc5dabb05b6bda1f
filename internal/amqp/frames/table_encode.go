package frames

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// appendTable appends a table with the types that the library takes, and as it writes them.
func appendTable(dst []byte, t amqp.Table) (_ []byte, err error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for key, value := range t {
		if dst, err = appendShort(dst, key); err == nil {
			dst, err = appendValue(dst, value)
		}
		if err != nil {
			return dst, fmt.Errorf("header %.40q: %w", key, err)
		}
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst, nil
}

func appendValue(dst []byte, value any) (_ []byte, err error) {
	switch v := value.(type) {
	case nil:
		return append(dst, 'V'), nil
	case bool:
		return append(dst, 't', flag(v)), nil
	case byte:
		return append(dst, 'B', v), nil
	case int8:
		return append(dst, 'b', byte(v)), nil
	case int16:
		return binary.BigEndian.AppendUint16(append(dst, 's'), uint16(v)), nil
	case uint16:
		return binary.BigEndian.AppendUint16(append(dst, 'u'), v), nil
	case int:
		return binary.BigEndian.AppendUint32(append(dst, 'I'), uint32(v)), nil
	case int32:
		return binary.BigEndian.AppendUint32(append(dst, 'I'), uint32(v)), nil
	case uint32:
		return binary.BigEndian.AppendUint32(append(dst, 'i'), v), nil
	case int64:
		return binary.BigEndian.AppendUint64(append(dst, 'l'), uint64(v)), nil
	case float32:
		return binary.BigEndian.AppendUint32(append(dst, 'f'), math.Float32bits(v)), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, 'd'), math.Float64bits(v)), nil
	case amqp.Decimal:
		return binary.BigEndian.AppendUint32(append(dst, 'D', v.Scale), uint32(v.Value)), nil
	case time.Time:
		return binary.BigEndian.AppendUint64(append(dst, 'T'), uint64(v.Unix())), nil
	case string:
		return append(binary.BigEndian.AppendUint32(append(dst, 'S'), uint32(len(v))), v...), nil
	case []byte:
		return append(binary.BigEndian.AppendUint32(append(dst, 'x'), uint32(len(v))), v...), nil
	case amqp.Table:
		return appendTable(append(dst, 'F'), v)
	case []any:
		dst = append(dst, 'A', 0, 0, 0, 0)
		start := len(dst)
		for _, item := range v {
			if dst, err = appendValue(dst, item); err != nil {
				return dst, err
			}
		}
		binary.BigEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
		return dst, nil
	}
	return dst, fmt.Errorf("values of type %T have no form in AMQP", value)
}
