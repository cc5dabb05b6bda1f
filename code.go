package warren

import "fmt"

// Code classifies an error. The sixteen codes are those that gRPC and Connect
// share, with gRPC's numbers, so that tables made for either can be reused.
// The zero Code is not valid in an [Error].
type Code uint8

// The sixteen codes, in the order of their gRPC numbers.
const (
	CodeCanceled           Code = 1  // the caller gave up
	CodeUnknown            Code = 2  // a failure that nobody classified
	CodeInvalidArgument    Code = 3  // the request is wrong whatever the state of the system
	CodeDeadlineExceeded   Code = 4  // the deadline passed first
	CodeNotFound           Code = 5  // the thing asked for does not exist
	CodeAlreadyExists      Code = 6  // the thing to be made exists
	CodePermissionDenied   Code = 7  // the caller is known and may not
	CodeResourceExhausted  Code = 8  // a quota, a bound or a buffer is full
	CodeFailedPrecondition Code = 9  // the system's state must change first
	CodeAborted            Code = 10 // a conflict; the caller may start over
	CodeOutOfRange         Code = 11 // past the end of what exists
	CodeUnimplemented      Code = 12 // not supported here
	CodeInternal           Code = 13 // an invariant is broken
	CodeUnavailable        Code = 14 // not now; may pass by itself
	CodeDataLoss           Code = 15 // data is gone or damaged
	CodeUnauthenticated    Code = 16 // the caller is not known
)

var codeNames = [...]string{
	CodeCanceled:           "canceled",
	CodeUnknown:            "unknown",
	CodeInvalidArgument:    "invalid_argument",
	CodeDeadlineExceeded:   "deadline_exceeded",
	CodeNotFound:           "not_found",
	CodeAlreadyExists:      "already_exists",
	CodePermissionDenied:   "permission_denied",
	CodeResourceExhausted:  "resource_exhausted",
	CodeFailedPrecondition: "failed_precondition",
	CodeAborted:            "aborted",
	CodeOutOfRange:         "out_of_range",
	CodeUnimplemented:      "unimplemented",
	CodeInternal:           "internal",
	CodeUnavailable:        "unavailable",
	CodeDataLoss:           "data_loss",
	CodeUnauthenticated:    "unauthenticated",
}

// Valid reports whether c is one of the sixteen codes.
func (c Code) Valid() bool { return c >= CodeCanceled && c <= CodeUnauthenticated }

// String returns the code's name as it stands on the wire, for example
// "invalid_argument", or "code(n)" for a value that is not a code.
func (c Code) String() string {
	if !c.Valid() {
		return fmt.Sprintf("code(%d)", uint8(c))
	}
	return codeNames[c]
}

// MarshalText returns the code's name. It fails for a value that is not one of
// the sixteen codes.
func (c Code) MarshalText() ([]byte, error) {
	if !c.Valid() {
		return nil, fmt.Errorf("warren: %d is not a code", uint8(c))
	}
	return []byte(codeNames[c]), nil
}

// UnmarshalText sets c to the code of that name; see [ParseCode].
func (c *Code) UnmarshalText(text []byte) error {
	parsed, err := ParseCode(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// ParseCode returns the code of that name. Names are matched exactly.
func ParseCode(name string) (Code, error) {
	for c := CodeCanceled; c <= CodeUnauthenticated; c++ {
		if codeNames[c] == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("warren: %.40q is not the name of a code", name)
}

// Outcome is what a caller may believe about the handler of its call.
type Outcome uint8

const (
	// Unknown is the zero value because it is the safe one: the handler may
	// have run, may be running, or may yet run.
	Unknown Outcome = iota
	// NotExecuted says that the handler did not run and will not run for this
	// call. It is claimed only if every attempt that was written to a
	// connection is proven unexecuted.
	NotExecuted
	// Executed says that the handler ran and ended: by a result, an error or a
	// panic.
	Executed
)

var outcomeNames = [...]string{Unknown: "unknown", NotExecuted: "not_executed", Executed: "executed"}

// String returns "unknown", "not_executed" or "executed".
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
	return outcomeNames[o]
}

// MarshalText returns the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) {
	if int(o) >= len(outcomeNames) {
		return nil, fmt.Errorf("warren: %d is not an outcome", uint8(o))
	}
	return []byte(outcomeNames[o]), nil
}

// UnmarshalText sets o to the outcome of that name.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range outcomeNames {
		if name == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("warren: %.40q is not an outcome", text)
}

// Join returns the outcome of a call that made two attempts with these
// outcomes: Executed if either was, NotExecuted if both were not, and
// otherwise Unknown. It is commutative and associative, so the outcomes of any
// number of attempts may be joined in any order.
func (o Outcome) Join(p Outcome) Outcome {
	switch {
	case o == Executed || p == Executed:
		return Executed
	case o == NotExecuted && p == NotExecuted:
		return NotExecuted
	default:
		return Unknown
	}
}
