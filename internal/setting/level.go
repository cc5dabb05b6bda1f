package setting

import "fmt"

// Level is how grave a finding is.
type Level uint8

const (
	LevelWarning Level = iota + 1 // works, and someone should look at it
	LevelError                    // refused
)

// String returns "warning" or "error".
func (l Level) String() string {
	switch l {
	case LevelWarning:
		return "warning"
	case LevelError:
		return "error"
	default:
		return fmt.Sprintf("level(%d)", uint8(l))
	}
}

// MarshalText returns what String does.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
