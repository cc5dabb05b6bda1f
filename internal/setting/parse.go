package setting

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// DurationPattern is the regular expression of durations as they are written: a
// sequence of numbers with units, and no sign.
const DurationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

var durationForm = regexp.MustCompile(DurationPattern)

// Wanted says what to write where a value of the kind belongs.
var Wanted = map[Kind]string{
	Duration: `a duration such as "250ms"`, Count: "a whole number", Number: "a number", Bool: "true or false",
	Switch: "on, off or a mapping", Text: "a text", Size: `a size such as "64KiB"`, List: "a list of texts",
}

// ParseDuration reads a duration as files write it. The error says what the text
// is and what to write.
func ParseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("is %.40s, without a unit; write %s", text, Wanted[Duration])
	}
	if strings.HasPrefix(text, "-") {
		return 0, fmt.Errorf("is %.40s; a duration cannot be negative", text)
	}
	d, err := time.ParseDuration(text)
	if err != nil || !durationForm.MatchString(text) {
		return 0, fmt.Errorf("is %.40q; write %s", text, Wanted[Duration])
	}
	return d, nil
}
