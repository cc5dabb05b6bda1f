package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
)

const (
	maxMessage     = 4 << 10
	maxDetails     = 32
	maxDetailBytes = 4 << 10
	// maxErrorBody is read as JSON: each byte of message and details may have
	// become six.
	maxErrorBody = 16 * maxMessage
)

// errorBody is what an error reply to a Warren caller carries as its body.
type errorBody struct {
	Message string            `json:"message,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}

// EncodeReply returns the message that answers req with reply. A reply over the
// bounds becomes an error with the outcome Executed, since the handler ran.
func EncodeReply(req *Request, reply *warren.Reply, mode uint8, limits Limits) amqp.Publishing {
	headers, e := replyHeaders(reply, limits)
	if e != nil {
		return EncodeError(req, e, mode)
	}
	msg := amqp.Publishing{
		Headers: headers, ContentType: reply.ContentType, ContentEncoding: reply.ContentEncoding,
		DeliveryMode: deliveryMode(req.Version, mode), CorrelationId: req.CallID, Body: reply.Body,
	}
	meta := replyMeta(req)
	meta.Replayed = reply.Replayed
	msg.Type = meta.Encode()
	return msg
}

// CheckReply returns the error as which a reply over the bounds is sent, with the
// outcome Executed, since the handler ran.
func CheckReply(reply *warren.Reply, limits Limits) *warren.Error {
	_, e := replyHeaders(reply, limits)
	return e
}

func replyHeaders(reply *warren.Reply, limits Limits) (amqp.Table, *warren.Error) {
	if len(reply.Body) > limits.Body {
		return nil, &warren.Error{
			Code: warren.CodeResourceExhausted, Reason: warren.ReasonReplyTooLarge, Outcome: warren.Executed,
			Message: fmt.Sprintf("the reply's body has %d bytes; at most %d are allowed", len(reply.Body), limits.Body),
		}
	}
	headers, err := encodeHeader(reply.Header, limits)
	if err == nil && (len(reply.ContentType) > maxShortString || len(reply.ContentEncoding) > maxShortString) {
		err = fmt.Errorf("the content type or encoding has over %d bytes", maxShortString)
	}
	if err != nil {
		return nil, &warren.Error{
			Code: warren.CodeInternal, Reason: warren.ReasonBadReply, Outcome: warren.Executed,
			Message: "the reply cannot be sent: " + err.Error(),
		}
	}
	return headers, nil
}

// replyMeta opens the metadata of every reply: with the nonce of its request or, in
// version 1, the issue time of one that has none. A plain caller's carries its kind too:
// should the reply address be a method's queue, no server runs it.
func replyMeta(req *Request) Meta {
	meta := Meta{Version: req.Version, Kind: KindReply, Attempt: req.Attempt, Nonce: req.Nonce}
	if req.Version != V2 && req.Nonce == (Nonce{}) {
		meta.Issued = req.Issued
	}
	return meta
}

// EncodeError returns the message that answers req with an error: metadata in
// the type, and as the body JSON for Warren callers and one line of text for
// plain ones. Messages and details over their bounds are cut.
func EncodeError(req *Request, e *warren.Error, mode uint8) amqp.Publishing {
	b := bounded(e)
	meta := replyMeta(req)
	meta.Code, meta.Reason, meta.Outcome = b.Code, b.Reason, b.Outcome
	meta.RetryAfter, meta.Incident, meta.Replayed = b.RetryAfter, b.Incident, b.Replayed
	msg := amqp.Publishing{DeliveryMode: deliveryMode(req.Version, mode), CorrelationId: req.CallID, Type: meta.Encode()}
	if req.Plain {
		msg.ContentType = "text/plain"
		msg.Body = []byte(plainError(b.Code, b.Reason, b.Message))
		return msg
	}
	body, err := json.Marshal(errorBody{Message: b.Message, Details: b.Details})
	if err != nil {
		body = nil // strings always marshal; an error without text is still an error
	}
	msg.ContentType, msg.Body = "application/json", body
	return msg
}

// bounded returns what of e may leave this side, cut to its bounds.
func bounded(e *warren.Error) *warren.Error {
	b := &warren.Error{
		Code: e.Code, Reason: e.Reason, Outcome: e.Outcome, Message: cutText(e.Message),
		RetryAfter: time.Duration(retryMillis(e.RetryAfter)) * time.Millisecond,
		Incident:   clean(e.Incident, warren.MaxIncident), Details: cutDetails(e.Details), Replayed: e.Replayed,
	}
	if !b.Code.Valid() {
		b.Code = warren.CodeUnknown
	}
	if warren.CheckReason(b.Reason) != nil {
		b.Reason = ""
	}
	if b.Outcome > warren.Executed {
		b.Outcome = warren.Unknown
	}
	return b
}

func plainError(code warren.Code, reason, message string) string {
	text := code.String()
	if reason != "" {
		text += "/" + reason
	}
	if message != "" {
		text += ": " + strings.Map(oneLine, message)
	}
	return text
}

// oneLine replaces what ends a line, or steers a terminal, by a space.
func oneLine(r rune) rune {
	if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
		return ' '
	}
	return r
}

// cutText returns s as text of at most maxMessage bytes.
func cutText(s string) string {
	s = strings.ToValidUTF8(s, "�")
	most := maxMessage
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

func cutDetails(details map[string]string) map[string]string {
	if len(details) == 0 {
		return nil
	}
	kept, size := make(map[string]string, min(len(details), maxDetails)), 0
	// In order, so that the same error is cut alike each time.
	for _, key := range slices.Sorted(maps.Keys(details)) {
		value := strings.ToValidUTF8(details[key], "�")
		key = strings.ToValidUTF8(key, "�")
		if n := len(key) + len(value); len(kept) < maxDetails && size+n <= maxDetailBytes {
			size += n
			kept[key] = value
		}
	}
	return kept
}

// DecodeReply reads the reply to req: a reply, or the error that it carries. Both are
// nil if it answers another invocation of the same call ID: that was given up, and
// what became of it says nothing about this one. In version 1 a server that repeats no
// nonce must repeat the issue time, in milliseconds, which may be another invocation's
// too. What a plain server sends is taken as meant.
//
// A message that is not a reply, or breaks a bound, becomes an
// internal/bad_reply error of unknown outcome: something answered, but what it
// did cannot be told.
//
// Attempts of either is the number of the attempt that is answered, 0 if the
// message does not tell.
func DecodeReply(d *amqp.Delivery, req *Request, limits Limits) (*warren.Reply, *warren.Error) {
	var meta Meta
	plain := !IsWarren(d.Type)
	if !plain {
		var err error
		if meta, err = DecodeMeta(d.Type); err != nil {
			return nil, badReply(err.Error())
		}
		if !meta.answers(req) {
			return nil, nil
		}
		if meta.Kind != KindReply {
			return nil, badReply("the message on the reply queue is not a reply")
		}
		if meta.Code != 0 {
			return nil, remoteError(&meta, d)
		}
	}
	if len(d.Body) > limits.Body {
		return nil, &warren.Error{
			Code: warren.CodeResourceExhausted, Reason: warren.ReasonReplyTooLarge, Outcome: warren.Executed,
			Message: fmt.Sprintf("the reply's body has %d bytes; at most %d are allowed", len(d.Body), limits.Body),
		}
	}
	header, err := decodeHeader(d.Headers, limits)
	if err != nil {
		return nil, badReply(err.Error())
	}
	return &warren.Reply{
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding,
		Header: header, Body: d.Body, CallID: d.CorrelationId, Attempts: meta.Attempt, Replayed: meta.Replayed,
		Plain: plain,
	}, nil
}

// answers reports whether m is of what answers this invocation.
func (m *Meta) answers(req *Request) bool {
	switch {
	case m.Version == V2 && req.Unique:
		return m.Nonce == Nonce{}
	case m.Version != V2 && m.Nonce == Nonce{}:
		return m.Issued.UnixMilli() == req.Issued.UnixMilli()
	}
	return m.Nonce == req.Nonce
}

// RefusesVersion returns the error by which a server that speaks version 1 alone refuses
// a request of version 2, of which it repeats neither nonce nor issue time; nil if d is
// none. Its outcome is unknown if it may be meant for another one: of a request whose ID
// is not its own alone, and if it may have been taken before.
func RefusesVersion(d *amqp.Delivery, req *Request) *warren.Error {
	meta, _ := DecodeMeta(d.Type) // nothing if it cannot be read
	if req.Version != V2 || meta.Version != V1 || meta.Kind != KindReply || meta.Code != warren.CodeInvalidArgument ||
		meta.Reason != warren.ReasonBadRequest || meta.Nonce != (Nonce{}) || !meta.Issued.IsZero() {
		return nil
	}
	e := remoteError(&meta, d)
	if !req.Unique || d.Redelivered {
		e.Outcome = warren.Unknown
	}
	return e
}

func remoteError(meta *Meta, d *amqp.Delivery) *warren.Error {
	e := &warren.Error{
		Code: meta.Code, Reason: meta.Reason, Outcome: meta.Outcome, RetryAfter: meta.RetryAfter,
		Incident: meta.Incident, Attempts: meta.Attempt, Remote: true, Replayed: meta.Replayed,
	}
	var body errorBody
	if len(d.Body) <= maxErrorBody && json.Unmarshal(d.Body, &body) == nil {
		e.Message, e.Details = cutText(body.Message), cutDetails(body.Details)
	} else {
		e.Message = cutText(string(d.Body[:min(len(d.Body), maxMessage)]))
	}
	return e
}

func badReply(message string) *warren.Error {
	return &warren.Error{
		Code: warren.CodeInternal, Reason: warren.ReasonBadReply, Outcome: warren.Unknown,
		Message: strings.TrimPrefix(message, "warren: "),
	}
}
