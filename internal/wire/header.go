package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
)

// Limits bound what is sent and what is accepted. Both sides check them, the
// server before a handler sees anything.
type Limits struct {
	// Body is the largest body in bytes.
	Body int
	// Headers is how many headers there may be, and HeaderBytes how many bytes
	// their keys and values may have together, nested ones included.
	Headers, HeaderBytes int
	// HeaderDepth is how deep tables and arrays may be nested in a header that
	// is received; the header table itself is level one.
	HeaderDepth int
}

// DefaultLimits are the bounds of docs/wire.md, sections 4 and 5.
func DefaultLimits() Limits {
	return Limits{Body: 1 << 20, Headers: 64, HeaderBytes: 16 << 10, HeaderDepth: 3}
}

const (
	maxHeaderKey   = 128
	maxShortString = 255
)

// encodeHeader returns h as an AMQP table, nil if it is empty.
func encodeHeader(h warren.Header, limits Limits) (amqp.Table, error) {
	if len(h) == 0 {
		return nil, nil
	}
	if len(h) > limits.Headers {
		return nil, fmt.Errorf("%d headers; at most %d are allowed", len(h), limits.Headers)
	}
	size := 0
	table := make(amqp.Table, len(h))
	for key, value := range h {
		if err := checkHeaderKey(key); err != nil {
			return nil, err
		}
		if size += len(key) + len(value); size > limits.HeaderBytes {
			return nil, fmt.Errorf("the headers have more than %d bytes", limits.HeaderBytes)
		}
		table[key] = value
	}
	return table, nil
}

func checkHeaderKey(key string) error {
	if key == "" {
		return errors.New("a header's name is empty")
	}
	if len(key) > maxHeaderKey {
		return fmt.Errorf("header %.40q: the name has %d bytes; at most %d are allowed", key, len(key), maxHeaderKey)
	}
	for i := 0; i < len(key); i++ {
		if key[i] <= ' ' || key[i] > '~' {
			return fmt.Errorf("header %.40q: byte %d of the name is not printable ASCII", key, i)
		}
	}
	if IsBrokerHeader(key) {
		return fmt.Errorf("header %q is the broker's own", key)
	}
	return nil
}

// IsBrokerHeader tells the headers that RabbitMQ writes into messages, and CC and
// BCC, by which it sends copies elsewhere, or closes the channel if they are no
// arrays. They are no part of what an application sends.
func IsBrokerHeader(key string) bool {
	switch key {
	case "x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC":
		return true
	}
	return strings.HasPrefix(key, "x-first-death-") || strings.HasPrefix(key, "x-last-death-")
}

// decodeHeader checks the whole table against the limits and returns what of
// it a handler may see.
func decodeHeader(table amqp.Table, limits Limits) (warren.Header, error) {
	if len(table) == 0 {
		return nil, nil
	}
	if len(table) > limits.Headers {
		if n := countOwn(table); n > limits.Headers {
			return nil, fmt.Errorf("%d headers; at most %d are allowed", n, limits.Headers)
		}
	}
	budget := limits.HeaderBytes
	if err := measure(table, limits.HeaderDepth, &budget); err != nil {
		return nil, err
	}
	var h warren.Header
	for key, value := range table {
		if IsBrokerHeader(key) {
			continue
		}
		text, ok := scalarText(value)
		if !ok {
			continue
		}
		if h == nil {
			h = make(warren.Header, len(table))
		}
		h[key] = text
	}
	return h, nil
}

// countOwn counts the headers that are not the broker's.
func countOwn(table amqp.Table) int {
	n := 0
	for key := range table {
		if !IsBrokerHeader(key) {
			n++
		}
	}
	return n
}

// wasHandedOut reports whether the headers say that the broker has delivered
// the message before, or dead-lettered it, on this queue or another.
func wasHandedOut(table amqp.Table) bool {
	if _, dead := table["x-death"]; dead {
		return true
	}
	count, counted := scalarText(table["x-delivery-count"])
	return counted && count != "" && count != "0"
}

// measure takes the bytes of value out of the budget and refuses it where it is
// nested too deep. What the broker added itself does not count: a request
// must not become unacceptable by having been dead-lettered.
func measure(value any, depth int, budget *int) error {
	switch v := value.(type) {
	case amqp.Table:
		if depth == 0 {
			return errors.New("the headers are nested too deep")
		}
		for key, element := range v {
			if IsBrokerHeader(key) {
				continue
			}
			*budget -= len(key)
			if err := measure(element, depth-1, budget); err != nil {
				return err
			}
		}
	case []any:
		if depth == 0 {
			return errors.New("the headers are nested too deep")
		}
		for _, element := range v {
			if err := measure(element, depth-1, budget); err != nil {
				return err
			}
		}
	case string:
		*budget -= len(v)
	case []byte:
		*budget -= len(v)
	default:
		*budget -= 8
	}
	if *budget < 0 {
		return errors.New("the headers have too many bytes")
	}
	return nil
}

// scalarText returns the text form of a scalar, and false for tables and
// arrays.
func scalarText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	case int8:
		return strconv.FormatInt(int64(v), 10), true
	case byte:
		return strconv.FormatInt(int64(v), 10), true
	case int16:
		return strconv.FormatInt(int64(v), 10), true
	case uint16:
		return strconv.FormatInt(int64(v), 10), true
	case int32:
		return strconv.FormatInt(int64(v), 10), true
	case uint32:
		return strconv.FormatInt(int64(v), 10), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case time.Time:
		return v.UTC().Format(time.RFC3339), true
	case amqp.Decimal:
		return decimalText(v), true
	case nil:
		return "", true
	default:
		return "", false
	}
}

func decimalText(d amqp.Decimal) string {
	return strconv.FormatFloat(float64(d.Value)/math.Pow10(int(d.Scale)), 'g', -1, 64)
}
