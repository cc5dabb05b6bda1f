package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/warren-rpc/warren"
)

// What has become of a call that was asked about.
const (
	StateCompleted  = "completed"   // it ended with a reply
	StateFailed     = "failed"      // it ended with an error that will not change
	StateInProgress = "in_progress" // it runs
	StateCanceled   = "canceled"    // it will never run from here on
)

// Resolution is the answer to a [Resolve].
type Resolution struct {
	// State is one of the four above.
	State string
	// Outcome is Executed of what is completed and Unknown of what is in progress.
	// What is canceled is NotExecuted or Unknown, what has failed any of the three.
	Outcome warren.Outcome
	// Reply is how a completed call ended and Err how a failed one did, if it was
	// retained. The reply's text (content type, encoding, header) travels as UTF-8:
	// bytes that are none are replaced. Of Err, Outcome is the resolution's.
	Reply *warren.Reply
	Err   *warren.Error
	// Retained says that Reply or Err is there.
	Retained bool
}

// resolutionSlack is what a resolution may have besides the reply's body: JSON may
// make six bytes of each of the 16 KiB of its headers.
const resolutionSlack = 128 << 10

// ResolutionBytes returns how many bytes a resolution may have that holds a reply
// with a body of at most reply bytes: base64 makes four bytes of three. Both sides
// bound the body of a control reply by it instead of by reply.
func ResolutionBytes(reply int) int { return reply/3*4 + 4 + resolutionSlack }

type resolutionBody struct {
	State    string         `json:"state"`
	Outcome  warren.Outcome `json:"outcome"`
	Reply    *resolvedReply `json:"reply,omitempty"`
	Error    *resolvedError `json:"error,omitempty"`
	Retained bool           `json:"retained"`
}

type resolvedReply struct {
	ContentType     string            `json:"content_type,omitempty"`
	ContentEncoding string            `json:"content_encoding,omitempty"`
	Header          map[string]string `json:"header,omitempty"`
	Body            []byte            `json:"body,omitempty"`
}

type resolvedError struct {
	errorBody

	Code       string `json:"code"`
	Reason     string `json:"reason,omitempty"`
	Incident   string `json:"incident,omitempty"`
	RetryAfter int64  `json:"retry_after_ms,omitempty"`
}

// EncodeResolution returns the body of the reply to a resolve request, in JSON.
// What would contradict the state (see [Resolution]) is left out of it; errors are
// cut as by [EncodeError].
func EncodeResolution(r Resolution) []byte {
	body := resolutionBody{State: r.State, Outcome: r.Outcome}
	switch r.State {
	case StateCompleted:
		body.Outcome = warren.Executed
		if r.Reply != nil {
			body.Reply = &resolvedReply{
				ContentType: r.Reply.ContentType, ContentEncoding: r.Reply.ContentEncoding, Header: r.Reply.Header, Body: r.Reply.Body,
			}
		}
	case StateFailed:
		if r.Err != nil {
			e := bounded(r.Err)
			body.Error = &resolvedError{
				errorBody: errorBody{Message: e.Message, Details: e.Details}, Code: e.Code.String(), Reason: e.Reason,
				Incident: e.Incident, RetryAfter: retryMillis(e.RetryAfter),
			}
		}
	case StateCanceled:
		if body.Outcome != warren.NotExecuted {
			body.Outcome = warren.Unknown
		}
	default:
		body.Outcome = warren.Unknown
	}
	if body.Outcome > warren.Executed {
		body.Outcome = warren.Unknown
	}
	body.Retained = body.Reply != nil || body.Error != nil
	b, err := json.Marshal(body)
	if err != nil {
		return nil // text, bytes and numbers always marshal; the caller of an empty answer knows that it has none
	}
	return b
}

// DecodeResolution reads what [EncodeResolution] wrote, or refuses it: what is out
// of bounds, of a state that is none, or contradicts its state. Of the reply only
// what was stored is set; Replayed of either is.
func DecodeResolution(b []byte) (Resolution, error) {
	var body resolutionBody
	if err := json.Unmarshal(b, &body); err != nil {
		return Resolution{}, fmt.Errorf("warren: the resolution cannot be read: %w", err)
	}
	r := Resolution{State: body.State, Outcome: body.Outcome, Retained: body.Retained}
	if err := body.check(); err != nil {
		return Resolution{}, err
	}
	if p := body.Reply; p != nil {
		if err := p.check(); err != nil {
			return Resolution{}, err
		}
		r.Reply = &warren.Reply{
			ContentType: p.ContentType, ContentEncoding: p.ContentEncoding, Header: p.Header, Body: p.Body, Replayed: true,
		}
		if len(p.Header) == 0 {
			r.Reply.Header = nil
		}
	}
	if p := body.Error; p != nil {
		code, err := warren.ParseCode(p.Code)
		if err != nil {
			code = warren.CodeUnknown // of a later version; still an error
		}
		r.Err = bounded(&warren.Error{
			Code: code, Reason: p.Reason, Outcome: body.Outcome, Message: p.Message, Details: p.Details, Incident: p.Incident,
			RetryAfter: time.Duration(min(max(p.RetryAfter, -1), warren.MaxRetryAfter.Milliseconds())) * time.Millisecond,
			Replayed:   true,
		})
		r.Err.Remote = true
	}
	return r, nil
}

// check refuses what contradicts itself.
func (b *resolutionBody) check() error {
	var outcome, reply, failure bool
	switch b.State {
	case StateCompleted:
		outcome, reply = b.Outcome == warren.Executed, true
	case StateFailed:
		outcome, failure = true, true
	case StateInProgress:
		outcome = b.Outcome == warren.Unknown
	case StateCanceled:
		outcome = b.Outcome != warren.Executed
	default:
		return fmt.Errorf("warren: the resolution has the state %.40q, which is none", b.State)
	}
	switch {
	case !outcome:
		return fmt.Errorf("warren: the resolution says %s and %v", b.State, b.Outcome)
	case b.Reply != nil && !reply, b.Error != nil && !failure:
		return fmt.Errorf("warren: the resolution says %s, and brings a reply or an error of another state", b.State)
	case b.Retained != (b.Reply != nil || b.Error != nil):
		return errors.New("warren: the resolution does not bring what it says, or brings what it does not say")
	}
	return nil
}

// check refuses what no server of Warren's could have sent. A byte that was no text
// has become three.
func (p *resolvedReply) check() error {
	const grown = 3
	limits := DefaultLimits()
	limits.HeaderBytes *= grown
	if _, err := encodeHeader(p.Header, limits); err != nil {
		return fmt.Errorf("warren: the resolved reply: %w", err)
	}
	if len(p.ContentType) > grown*maxShortString || len(p.ContentEncoding) > grown*maxShortString {
		return errors.New("warren: the resolved reply's content type or encoding is too long")
	}
	return nil
}
