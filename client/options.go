package client

import (
	"time"

	"github.com/warren-rpc/warren"
)

// CallOption changes one call.
type CallOption func(*callSettings)

type callSettings struct {
	callID      string
	header      warren.Header
	contentType string
	encoding    string
	timeout     time.Duration
	attempts    int  // 0: the policy's
	named       bool // callID is the caller's own, perhaps wrongly
	idempotent  bool
	noServer    NoServer
	persistent  bool
	oneWay      bool
	keepsOn     bool
	maxRequest  int // 0: Config's
	maxReply    int // 0: Config's
}

// WithCallID names the call with a key of the caller's own: 1 to 128 bytes of
// printable ASCII. While a call with that ID is in flight in this client, a
// second one joins it if method, headers but those of a trace context, and body
// are the same, and fails as already_exists/key_reused otherwise. Default:
// one of 22 random characters of [0-9A-Za-z_-].
func WithCallID(id string) CallOption { return func(s *callSettings) { s.callID, s.named = id, true } }

// WithHeader adds one application header.
func WithHeader(key, value string) CallOption {
	return func(s *callSettings) {
		if s.header == nil {
			s.header = warren.Header{}
		}
		s.header[key] = value
	}
}

// WithContentType sets the content type of the body. Default: the codec's for
// typed calls, none for calls in bytes.
func WithContentType(contentType string) CallOption {
	return func(s *callSettings) { s.contentType = contentType }
}

// WithContentEncoding sets the content encoding of the body.
func WithContentEncoding(encoding string) CallOption {
	return func(s *callSettings) { s.encoding = encoding }
}

// WithTimeout bounds the call, together with the context's deadline: the
// earlier counts. Default, and for a value of 0 or less: the context's deadline
// alone, or that of the method's policy if it has none.
//
// That nothing came in this time counts against the method, for its breaker. If the
// context's deadline is much nearer than this, and than the policy's timeout, it does
// not: that tells of the caller.
func WithTimeout(d time.Duration) CallOption { return func(s *callSettings) { s.timeout = d } }

// Idempotent says that the method's handler may run more than once for this
// call without harm, whatever its policy says. Only then is the call repeated
// after an attempt that may have been executed: one that was not answered in
// time, or whose publish was lost or refused by the broker.
func Idempotent() CallOption {
	return func(s *callSettings) { s.idempotent = true }
}

// WithAttempts bounds how often the call is published in all, 1 to 5, instead of
// the method's policy. With 2 or more, what the broker refuses is not counted: see
// [reliability.RetryPolicy].
func WithAttempts(n int) CallOption {
	return func(s *callSettings) { s.attempts = max(n, 1) }
}

// WaitForServer lets the call wait for a server; see [Wait].
func WaitForServer() CallOption { return func(s *callSettings) { s.noServer = Wait } }

// FailWithoutServer ends the call at once if nobody serves the method; see
// [FailFast].
func FailWithoutServer() CallOption { return func(s *callSettings) { s.noServer = FailFast } }

// WithMaxRequest bounds the body of this call, in bytes, instead of
// Config.MaxRequest: higher or lower. Default, and for a value of 0 or less: that one.
func WithMaxRequest(n int) CallOption { return func(s *callSettings) { s.maxRequest = max(n, 0) } }

// WithMaxReply bounds the body of the reply to this call, in bytes, instead of
// Config.MaxReply: higher or lower. Default, and for a value of 0 or less: that one.
// What joins a call in flight has that one's bound.
func WithMaxReply(n int) CallOption { return func(s *callSettings) { s.maxReply = max(n, 0) } }

// KeepWaiting has Call return, once an attempt has gone out, no sooner than the call
// has ended, by its answer or its deadline, even if its context is canceled: for who
// counts the work that is under way and not the callers who still want it. What was
// not sent yet when the context is canceled is given up, as without this option.
func KeepWaiting() CallOption { return func(s *callSettings) { s.keepsOn = true } }

// WithPersistence asks the broker to write this request to disk; see
// Config.Persistent.
func WithPersistence() CallOption { return func(s *callSettings) { s.persistent = true } }
