package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
)

// ControlQueue is the queue of a method's control messages. They never travel to
// the method's own queue, where a plain server would execute them.
func ControlQueue(method string) string { return "warren.control." + method }

// Resolve asks what became of a call.
type Resolve struct {
	// CallID names the call that is asked about.
	CallID string
	// Issued is when its caller made it, to the millisecond; zero if that is not
	// known.
	Issued time.Time
	// Proof shows that who asks knows the call; zero if it is not given.
	Proof warren.Proof
}

// maxResolve bounds the body of a resolve request: a call ID may be written with
// six bytes for each of its own.
const maxResolve = 1 << 10

type resolveBody struct {
	CallID string `json:"call_id"`
	Issued *int64 `json:"issued,omitempty"` // Unix ms
	Proof  string `json:"proof,omitempty"`  // hexadecimal
}

// EncodeResolve returns the control message by which req asks about r. req is the
// control request itself: its CallID is the message's own correlation ID, fresh for
// each; Method, Attempt, Deadline, Issued, Nonce, Caller, UserID and Header travel, and
// nothing else, in version 1. The message is as that of [EncodeRequest]. The error is of the outcome NotExecuted: req or r breaks a bound.
func EncodeResolve(req *Request, r Resolve) (amqp.Publishing, *warren.Error) {
	if err := CheckRequest(&req.Request, DefaultLimits()); err != nil {
		return amqp.Publishing{}, err
	}
	if err := warren.CheckCallID(r.CallID); err != nil {
		return amqp.Publishing{}, badRequest(err)
	}
	asked := resolveBody{CallID: r.CallID}
	if !r.Issued.IsZero() {
		asked.Issued = new(millis(r.Issued))
	}
	if r.Proof != (warren.Proof{}) {
		asked.Proof = r.Proof.String()
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return amqp.Publishing{}, badRequest(err)
	}
	headers, err := encodeHeader(req.Header, DefaultLimits())
	if err != nil {
		return amqp.Publishing{}, badRequest(err)
	}
	meta := req.meta(KindResolve, V1)
	return amqp.Publishing{
		Headers: headers, ContentType: "application/json", DeliveryMode: Transient, CorrelationId: req.CallID, Type: meta.Encode(),
		Expiration: expiration(req.lifetime()),
		UserId:     req.UserID, AppId: req.Caller, Body: body,
	}, nil
}

// ErrNotControl is returned for messages on a control queue that are no control
// messages, or to whose senders no answer could be sent. They are dropped.
var ErrNotControl = errors.New("warren: the message is not a control message that can be answered")

// DecodeResolve reads what came to the control queue of method: the control request,
// which is what [EncodeReply] and [EncodeError] answer, and what it asks. Of limits
// the bounds of headers hold. The error is as that of [DecodeRequest], with
// ErrNotControl for what is dropped.
func DecodeResolve(d *amqp.Delivery, method string, limits Limits) (*Request, Resolve, error) {
	if d.ReplyTo == "" || !IsWarren(d.Type) {
		return nil, Resolve{}, ErrNotControl
	}
	limits.Body = maxResolve
	req, err := decodeRequest(d, method, KindResolve, limits)
	switch {
	case errors.Is(err, errKind):
		return nil, Resolve{}, ErrNotControl
	case err != nil:
		return req, Resolve{}, err
	}
	// Nothing else of it is the application's than headers, which may say the tenant.
	req.ContentType, req.ContentEncoding, req.Body = "", "", nil
	if err := warren.CheckCallID(req.CallID); err != nil {
		return req, Resolve{}, badRequest(err)
	}
	var asked resolveBody
	if err := json.Unmarshal(d.Body, &asked); err != nil {
		return req, Resolve{}, badRequest(fmt.Errorf("warren: the resolve request cannot be read: %w", err))
	}
	if err := warren.CheckCallID(asked.CallID); err != nil {
		return req, Resolve{}, badRequest(err)
	}
	r := Resolve{CallID: asked.CallID}
	if asked.Issued != nil {
		if *asked.Issued < 1 || *asked.Issued > maxMillis {
			return req, Resolve{}, badRequest(errors.New("warren: the instant of the call that is asked about is out of range"))
		}
		r.Issued = time.UnixMilli(*asked.Issued)
	}
	if asked.Proof != "" {
		var err error
		if r.Proof, err = warren.ParseProof(asked.Proof); err != nil {
			return req, Resolve{}, badRequest(err)
		}
	}
	return req, r, nil
}
