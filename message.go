package warren

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Bounds of names, set by AMQP's short strings and by what is printable.
const (
	// MaxMethod is the length of the longest method name, in bytes.
	MaxMethod = 200
	// MaxCallID is the length of the longest call ID, in bytes.
	MaxCallID = 128
)

// Header is the application's own headers. Values are text: a header that a
// plain peer sends as a number or a boolean arrives as its decimal or
// true/false form, and one that is a table or an array is not passed on.
// Keys are at most 128 bytes of printable ASCII.
type Header map[string]string

// Request is one call as a handler or an interceptor sees it. On the client's
// side interceptors may change the header and the body before the request
// goes out; on the server's side Body and Header belong to the handler until it
// returns and must not be used after it.
type Request struct {
	// Method is what is called.
	Method string
	// CallID names the call; every attempt bears the same one. A plain caller
	// may leave it empty.
	CallID string
	// Attempt counts the publishes of this call from 1. It is 1 for a plain
	// caller's.
	Attempt int
	// Deadline is when the caller stops waiting; zero if it did not say.
	Deadline time.Time
	// Issued is when the caller made the call, by its own clock; zero if it did
	// not say.
	Issued time.Time
	// ContentType and ContentEncoding describe Body; both may be empty.
	ContentType, ContentEncoding string
	// Header holds the application's headers; nil if there are none.
	Header Header
	// Body is the payload as it travels.
	Body []byte
	// Caller is the name that the caller gives itself (AMQP app_id). It proves
	// nothing.
	Caller string
	// UserID is the caller's broker user, which the broker has validated, or
	// empty.
	UserID string
	// OneWay says that nobody waits for a reply.
	OneWay bool
	// Plain says that the caller does not speak Warren's metadata.
	Plain bool
	// Redelivered says that the broker handed this request out before: a
	// handler may have run for it.
	Redelivered bool
}

// Reply is the answer to a call.
type Reply struct {
	// ContentType and ContentEncoding describe Body; both may be empty.
	ContentType, ContentEncoding string
	// Header holds the application's headers; nil if there are none.
	Header Header
	// Body is the payload as it travels. A client's reply body belongs to the
	// caller, except that callers that joined one call share it and must not
	// change it.
	Body []byte
	// CallID and Attempts say which call this answers and how many attempts it
	// took. Set by the client; servers leave them zero.
	CallID   string
	Attempts int
	// Replayed says that the reply was stored by an earlier attempt and the
	// handler did not run for this one.
	Replayed bool
	// Plain says that the server does not speak Warren's metadata.
	Plain bool
}

// CheckMethod returns nil if name can name a method: 1 to [MaxMethod] bytes of
// [A-Za-z0-9._-] without the reserved prefixes "amq." and "warren." and without
// the reserved suffix ".dead".
func CheckMethod(name string) error {
	if name == "" {
		return errors.New("warren: the method name is empty")
	}
	if len(name) > MaxMethod {
		return fmt.Errorf("warren: the method name has %d bytes; at most %d are allowed", len(name), MaxMethod)
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("warren: method name %.60q: byte %d is not one of [A-Za-z0-9._-]", name, i)
		}
	}
	for _, prefix := range []string{"amq.", "warren."} {
		if strings.HasPrefix(name, prefix) {
			return fmt.Errorf("warren: method name %.60q: the prefix %q is reserved", name, prefix)
		}
	}
	if strings.HasSuffix(name, ".dead") {
		return fmt.Errorf("warren: method name %.60q: the suffix %q is reserved", name, ".dead")
	}
	return nil
}

// CheckCallID returns nil if id can name a call: 1 to [MaxCallID] bytes of
// printable ASCII, spaces included.
func CheckCallID(id string) error {
	if id == "" {
		return errors.New("warren: the call ID is empty")
	}
	if len(id) > MaxCallID {
		return fmt.Errorf("warren: the call ID has %d bytes; at most %d are allowed", len(id), MaxCallID)
	}
	if i := notPrintable(id); i >= 0 {
		return fmt.Errorf("warren: byte %d of the call ID is not printable ASCII", i)
	}
	return nil
}

// CheckReason returns nil if reason is empty or up to [MaxReason] bytes of
// [a-z0-9_].
func CheckReason(reason string) error {
	if len(reason) > MaxReason {
		return fmt.Errorf("warren: the reason has %d bytes; at most %d are allowed", len(reason), MaxReason)
	}
	for i := 0; i < len(reason); i++ {
		if c := reason[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return fmt.Errorf("warren: reason %q: byte %d is not one of [a-z0-9_]", reason, i)
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// notPrintable returns the index of the first byte that is not printable
// ASCII, or -1.
func notPrintable(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return i
		}
	}
	return -1
}
