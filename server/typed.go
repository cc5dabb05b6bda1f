package server

import (
	"context"
	"fmt"
	"mime"

	"github.com/warren-rpc/warren"
)

// Validator is a request type that can judge itself. Handle calls Validate on
// what it decoded, before the handler; an error is answered as
// invalid_argument/invalid with its text, unless it is an [*warren.Error],
// which is answered as it is.
type Validator interface {
	Validate() error
}

// Handle registers a typed handler: the request's body is decoded by the
// method's codec into a Req, and the Rep is encoded as the reply. A Req or Rep
// of type []byte passes through as it is. A body that cannot be decoded is
// answered as invalid_argument/malformed_body, one of another content type than
// the codec's as invalid_argument/unsupported_media, both with the outcome
// NotExecuted; a plain caller's content type is not looked at.
//
// An [*warren.Error] that the handler makes reaches the caller with its code,
// reason, message and details; of one that came from a call of its own, only the
// code does. Context errors become deadline_exceeded and canceled, any other
// error unknown. What is not told stands in the server's log under the incident
// ID of the error; text that is marked by [warren.Public] is told. A panic reaches the caller as
// internal/panic with an incident ID that stands in the server's log, next to
// the stack. The request itself is found by [warren.RequestFromContext].
//
// The handler may run again for the same call, and concurrently with itself.
func Handle[Req, Rep any](s *Server, m Method, h func(ctx context.Context, req Req) (Rep, error)) error {
	if h == nil {
		return fmt.Errorf("warren: the handler of %s is nil", m.Name)
	}
	m = m.withDefaults()
	inner := typed(m.Codec, h)
	return s.HandleRaw(m, inner)
}

func typed[Req, Rep any](codec warren.Codec, h func(context.Context, Req) (Rep, error)) warren.Handler {
	return func(ctx context.Context, r *warren.Request) (*warren.Reply, error) {
		var req Req
		if raw, ok := any(&req).(*[]byte); ok {
			*raw = r.Body
		} else if err := decode(codec, r, &req); err != nil {
			return nil, &refusal{err}
		} else if err := validate(&req, req); err != nil {
			return nil, &refusal{err}
		}
		rep, err := h(warren.ContextWithRequest(ctx, r), req)
		if err != nil {
			return nil, err
		}
		if raw, ok := any(rep).([]byte); ok {
			return &warren.Reply{Body: raw}, nil
		}
		body, err := codec.Marshal(rep)
		if err != nil {
			return nil, fmt.Errorf("warren: encode the reply of %s: %w", r.Method, err)
		}
		return &warren.Reply{ContentType: codec.ContentType(), Body: body}, nil
	}
}

func decode(codec warren.Codec, r *warren.Request, req any) error {
	switch r.ContentEncoding {
	case "", "identity", "utf-8", "UTF-8":
	default:
		return warren.Errorf(warren.CodeInvalidArgument, "the content encoding %.40q is not supported", r.ContentEncoding).
			WithReason(warren.ReasonUnsupportedMedia)
	}
	if !r.Plain && !speaks(codec, r.ContentType) {
		return warren.Errorf(warren.CodeInvalidArgument, "the method takes %s, not %.80q", codec.ContentType(), r.ContentType).
			WithReason(warren.ReasonUnsupportedMedia)
	}
	if err := codec.Unmarshal(r.Body, req); err != nil {
		return warren.Errorf(warren.CodeInvalidArgument, "the body cannot be decoded: %v", err).
			WithReason(warren.ReasonMalformedBody)
	}
	return nil
}

// speaks reports whether the codec takes bodies of that content type, whatever
// its parameters. One that is not said is taken for the codec's own.
func speaks(codec warren.Codec, contentType string) bool {
	if contentType == "" || contentType == codec.ContentType() || codec == warren.Raw {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	own, _, ownErr := mime.ParseMediaType(codec.ContentType())
	return err == nil && ownErr == nil && media == own
}

// validate asks the request, or what it points to, for its own judgement.
func validate(candidates ...any) error {
	for _, candidate := range candidates {
		v, ok := candidate.(Validator)
		if !ok {
			continue
		}
		err := v.Validate()
		if err == nil {
			return nil
		}
		if e, typed := warren.AsError(err); typed {
			return e
		}
		return warren.Errorf(warren.CodeInvalidArgument, "%v", err).WithReason(warren.ReasonInvalid)
	}
	return nil
}

// refusal is an error that was found before the handler ran.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }
