package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
)

// Message is what goes out: the library's type, named here so that packages
// which only pass messages on need not import the library.
type Message = amqp.Publishing

// Delivery is what comes in.
type Delivery = amqp.Delivery

// Persistent and Transient are the delivery modes of AMQP.
const (
	Transient  uint8 = amqp.Transient
	Persistent uint8 = amqp.Persistent
)

// Request is a request with what only this package's peers know of it.
type Request struct {
	warren.Request

	// Version is the one in which it is written, and answered. Zero is V1.
	Version Version
	Nonce   Nonce
	// Bundles says that the caller takes several replies in one message. Version 2 only.
	Bundles bool
	// Unique says that its call ID was made for this invocation alone. Version 2 then
	// does without the nonce.
	Unique bool
}

// CheckRequest returns an error with the outcome NotExecuted if req breaks a bound. It is called before anything is written,
// since one string that is too long ends the connection with every call on it.
func CheckRequest(req *warren.Request, limits Limits) *warren.Error {
	if len(req.Body) > limits.Body {
		return &warren.Error{
			Code: warren.CodeResourceExhausted, Reason: warren.ReasonRequestTooLarge, Outcome: warren.NotExecuted,
			Message: fmt.Sprintf("the request's body has %d bytes; at most %d are allowed", len(req.Body), limits.Body),
		}
	}
	if err := warren.CheckMethod(req.Method); err != nil {
		return badRequest(err)
	}
	if err := warren.CheckCallID(req.CallID); err != nil {
		return badRequest(err)
	}
	for _, field := range []struct{ name, value string }{
		{"content type", req.ContentType}, {"content encoding", req.ContentEncoding},
		{"caller's name", req.Caller}, {"user ID", req.UserID},
	} {
		if len(field.value) > maxShortString {
			return badRequest(fmt.Errorf("the %s has %d bytes; at most %d are allowed", field.name, len(field.value), maxShortString))
		}
	}
	return nil
}

func badRequest(err error) *warren.Error {
	return &warren.Error{
		Code: warren.CodeInvalidArgument, Reason: warren.ReasonBadRequest, Outcome: warren.NotExecuted,
		Message: strings.TrimPrefix(err.Error(), "warren: "), Cause: err,
	}
}

// EncodeRequest returns the message of a call's first attempt, without the reply
// address, as it goes out if it is written within [Prompt] of its issue time:
// otherwise, and for each later attempt, [Request.Stamp] is needed. The request must
// have passed [CheckRequest]; headers are checked here.
func EncodeRequest(req *Request, mode uint8, limits Limits) (amqp.Publishing, *warren.Error) {
	headers, err := encodeHeader(req.Header, limits)
	if err != nil {
		return amqp.Publishing{}, badRequest(err)
	}
	meta, left := req.meta(KindCall, req.Version), req.lifetime()
	if req.Version == V2 && left <= maxExpiration {
		meta.Deadline = time.Time{} // the expiration says it
	}
	return amqp.Publishing{
		Headers: headers, ContentType: req.ContentType, ContentEncoding: req.ContentEncoding,
		DeliveryMode: deliveryMode(req.Version, mode), CorrelationId: req.CallID, Expiration: expiration(left),
		Type: meta.Encode(), UserId: req.UserID, AppId: req.Caller, Body: req.Body,
	}, nil
}

// deliveryMode leaves out what is the broker's default, in version 2.
func deliveryMode(v Version, mode uint8) uint8 {
	if v == V2 && mode == Transient {
		return 0
	}
	return mode
}

// meta is the metadata of the request.
func (r *Request) meta(kind Kind, v Version) Meta {
	m := Meta{Version: v, Kind: kind, Attempt: r.Attempt, Deadline: r.Deadline, Issued: r.Issued, Nonce: r.Nonce}
	m.Bundles = v == V2 && r.Bundles
	if v == V2 && r.Unique {
		m.Nonce = Nonce{}
	}
	return m
}

// Prompt is how long after its issue time the first attempt of a call may be written
// with what is left of its time at that instant. The broker then keeps it so much
// longer than its caller waits; servers know better.
const Prompt = 10 * time.Millisecond

// Stamp has the message of a call say which attempt it is, in that version, when it is
// written. Nothing else of it changes, but for the expiration.
func (r *Request) Stamp(msg *Message, kind Kind, v Version, attempt int, now time.Time) {
	meta := r.meta(kind, v)
	meta.Attempt = attempt
	msg.Type, msg.Expiration = meta.Encode(), ""
	if !r.Deadline.IsZero() {
		msg.Expiration = Expiration(r.Deadline.Sub(now))
	}
	if v != V2 && msg.DeliveryMode == 0 {
		msg.DeliveryMode = Transient
	}
}

// lifetime is how many milliseconds after its issue time the request's deadline is, 0
// if it has none.
func (r *Request) lifetime() int64 {
	if r.Deadline.IsZero() {
		return 0
	}
	return max(millis(r.Deadline)-millis(r.Issued), 1)
}

// maxExpiration is RabbitMQ's own bound on a TTL, 2^32-1 ms less a margin.
const maxExpiration = 4_000_000_000

// Expiration returns what is left as a TTL. A value that is negative or not an
// integer would close the channel.
func Expiration(left time.Duration) string { return expiration(max(left.Milliseconds(), 1)) }

var lastExpiration lastText

// expiration returns a time of so many milliseconds as a TTL, and none for 0.
func expiration(ms int64) string {
	if ms == 0 {
		return ""
	}
	return lastExpiration.of(min(ms, maxExpiration), func(ms int64) string { return strconv.FormatInt(ms, 10) })
}

// parseExpiration returns the milliseconds of a TTL, 0 if it is none.
func parseExpiration(text string) int64 {
	ms, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return int64(ms)
}

// originalExpiration is the one that a message had before the broker dead-lettered it,
// which takes it away: else what has expired would live for ever.
func originalExpiration(headers amqp.Table) string {
	deaths, _ := headers["x-death"].([]any)
	for _, death := range deaths {
		table, _ := death.(amqp.Table)
		if text, ok := table["original-expiration"].(string); ok {
			return text
		}
	}
	return ""
}

// deadline is that of a request of version 2 whose metadata has none: its expiration
// counts from the issue time. It is zero if there is none.
func deadline(meta *Meta, d *amqp.Delivery) time.Time {
	text := d.Expiration
	if text == "" {
		text = originalExpiration(d.Headers)
	}
	ms := parseExpiration(text)
	if ms == 0 || meta.Version != V2 || meta.Issued.IsZero() || !meta.Deadline.IsZero() {
		return meta.Deadline
	}
	at, err := after(meta.Issued, ms)
	if err != nil {
		return time.UnixMilli(maxMillis)
	}
	return at
}

// ErrNotACall is returned for messages on a method's queue that are not calls:
// replies and control messages, which must never reach a handler.
var ErrNotACall = errors.New("warren: the message is not a call")

// DecodeRequest reads the request of method out of d, whose version is V1 if it is none
// that is spoken here. Bounds are checked first; the error is an [*warren.Error] to be told to the caller, or ErrNotACall,
// upon which the message is dropped. With an *Error the request is returned
// too, without header and body, so that the error can be addressed.
func DecodeRequest(d *amqp.Delivery, method string, limits Limits) (*Request, error) {
	req, err := decodeRequest(d, method, KindCall, limits)
	if errors.Is(err, errKind) {
		return nil, ErrNotACall
	}
	return req, err
}

// errKind says that a message of Warren's is of another kind than its queue is for.
var errKind = errors.New("warren: the message is of another kind")

// decodeRequest reads a request of that kind, or a plain one.
func decodeRequest(d *amqp.Delivery, method string, kind Kind, limits Limits) (*Request, error) {
	req := &Request{Request: warren.Request{
		Method: method, CallID: d.CorrelationId, Attempt: 1,
		Caller: d.AppId, UserID: d.UserId, OneWay: d.ReplyTo == "",
		Plain: !IsWarren(d.Type), Redelivered: d.Redelivered || wasHandedOut(d.Headers),
	}, Version: max(VersionOf(d.Type), V1)}
	if !req.Plain {
		meta, err := DecodeMeta(d.Type)
		if err != nil {
			return req, badRequest(err)
		}
		if meta.Kind != kind {
			return nil, errKind
		}
		req.Attempt, req.Deadline, req.Issued, req.Nonce = max(meta.Attempt, 1), deadline(&meta, d), meta.Issued, meta.Nonce
		req.Bundles = meta.Bundles
		req.Unique = meta.Version == V2 && meta.Nonce == Nonce{}
	}
	if len(d.Body) > limits.Body {
		return req, &warren.Error{
			Code: warren.CodeResourceExhausted, Reason: warren.ReasonRequestTooLarge, Outcome: warren.NotExecuted,
			Message: fmt.Sprintf("the request's body has %d bytes; at most %d are allowed", len(d.Body), limits.Body),
		}
	}
	if req.CallID != "" {
		if err := warren.CheckCallID(req.CallID); err != nil {
			return req, badRequest(err)
		}
	}
	header, err := decodeHeader(d.Headers, limits)
	if err != nil {
		return req, badRequest(err)
	}
	req.ContentType, req.ContentEncoding = d.ContentType, d.ContentEncoding
	req.Header, req.Body = header, d.Body
	return req, nil
}
