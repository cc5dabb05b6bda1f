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

// Persistent and Transient are the delivery modes of AMQP.
const (
	Transient  uint8 = amqp.Transient
	Persistent uint8 = amqp.Persistent
)

// Request is a request with what only this package's peers know of it.
type Request struct {
	warren.Request

	Nonce Nonce
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

// EncodeRequest returns the message of a call's first attempt, without the
// reply address and the expiration, which are known when it is written. The
// request must have passed [CheckRequest]; headers are checked here.
func EncodeRequest(req *Request, mode uint8, limits Limits) (amqp.Publishing, *warren.Error) {
	headers, err := encodeHeader(req.Header, limits)
	if err != nil {
		return amqp.Publishing{}, badRequest(err)
	}
	meta := Meta{Kind: KindCall, Attempt: req.Attempt, Deadline: req.Deadline, Issued: req.Issued, Nonce: req.Nonce}
	return amqp.Publishing{
		Headers: headers, ContentType: req.ContentType, ContentEncoding: req.ContentEncoding,
		DeliveryMode: mode, CorrelationId: req.CallID,
		Type: meta.Encode(), UserId: req.UserID, AppId: req.Caller, Body: req.Body,
	}, nil
}

// maxExpiration is RabbitMQ's own bound on a TTL, 2^32-1 ms less a margin.
const maxExpiration = 4_000_000_000

// Expiration returns what is left as a TTL. A value that is negative or not an
// integer would close the channel.
func Expiration(left time.Duration) string {
	return strconv.FormatInt(min(max(left.Milliseconds(), 1), maxExpiration), 10)
}

// ErrNotACall is returned for messages on a method's queue that are not calls:
// replies and control messages, which must never reach a handler.
var ErrNotACall = errors.New("warren: the message is not a call")

// DecodeRequest reads the request of method out of d. Bounds are checked first;
// the error is an [*warren.Error] to be told to the caller, or ErrNotACall,
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
	}}
	if !req.Plain {
		meta, err := DecodeMeta(d.Type)
		if err != nil {
			return req, badRequest(err)
		}
		if meta.Kind != kind {
			return nil, errKind
		}
		req.Attempt, req.Deadline, req.Issued, req.Nonce = max(meta.Attempt, 1), meta.Deadline, meta.Issued, meta.Nonce
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
