package warren

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Codec turns values into bodies and back. Implementations must be safe for
// concurrent use.
type Codec interface {
	// ContentType is the media type of what Marshal makes, for example
	// "application/json".
	ContentType() string
	// Marshal encodes v.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes data into v, a non-nil pointer. It must not keep data.
	Unmarshal(data []byte, v any) error
}

// MaxJSONDepth is how deep arrays and objects may be nested in a JSON body.
const MaxJSONDepth = 64

// JSON encodes with encoding/json. It refuses bodies nested deeper than
// [MaxJSONDepth] before decoding them, and bodies with anything but white
// space after the first value.
var JSON Codec = jsonCodec{}

// Raw passes bytes through: Marshal takes []byte or string, Unmarshal a
// *[]byte (a copy of the body) or *string.
var Raw Codec = rawCodec{}

type jsonCodec struct{}

func (jsonCodec) ContentType() string { return "application/json" }

func (jsonCodec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

func (jsonCodec) Unmarshal(data []byte, v any) error {
	if err := checkJSONDepth(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("warren: the JSON body is empty")
		}
		return err
	}
	if len(bytes.TrimLeft(data[d.InputOffset():], " \t\r\n")) > 0 {
		return errors.New("warren: the JSON body goes on after its first value")
	}
	return nil
}

// checkJSONDepth counts brackets outside strings. It does not validate: what
// it lets through is decoded by a parser that does.
func checkJSONDepth(data []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxJSONDepth {
				return fmt.Errorf("warren: the JSON body is nested deeper than %d levels", MaxJSONDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

type rawCodec struct{}

func (rawCodec) ContentType() string { return "application/octet-stream" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	case nil:
		return nil, nil
	default:
		return nil, fmt.Errorf("warren: the raw codec encodes []byte and string, not %T", v)
	}
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = bytes.Clone(data)
	case *string:
		*v = string(data)
	default:
		return fmt.Errorf("warren: the raw codec decodes into *[]byte and *string, not %T", v)
	}
	return nil
}
