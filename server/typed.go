package server

import (
	"context"
	"fmt"
	"mime"
	"reflect"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/store"
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
// code does, unless it is marked by [warren.PassOn]. The outcome is Executed, unless
// the handler vouches for the contrary; see [warren.NothingDone]. Context errors become deadline_exceeded and canceled, any other
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
	m = m.withDefaults(s.cfg.Store)
	return s.register(m, nil, typed(m.Codec, func(ctx context.Context, _ any, req Req) (Rep, error) { return h(ctx, req) }))
}

// HandleTx registers a typed handler whose effect and whose call's record commit as
// one in the server's store, which has transactions of the type Tx: *bbolt.Tx for
// package boltstore's, pgx.Tx for package pgstore's. Method.Dedupe.Mode is
// Transactional, or left at its default. Of a call that succeeded the effect is there exactly once, of any other at most
// once, as long as the record is kept.
//
// An error that the handler returns, and a panic, roll the transaction back, and so
// does a failure to commit, after which the handler runs again. It also runs again
// without its own fault: transactions that commit together are rolled back together
// if the handler of another one fails, and those of a database if they get in each
// other's way. So what it does besides the transaction may happen more than once; it
// should do nothing else. It must use tx on its own goroutine, and not after it has
// returned. If a statement of it fails the handler should return that error: a reply
// with a transaction that cannot commit any more is told as internal, and nothing was
// done. If the store goes away under the handler the call is told as
// unavailable/store_unavailable, whatever the handler returns. A store that has one
// writer at a time runs such handlers one after the other, and all methods wait
// meanwhile: keep them short, without calls to elsewhere. Their context ends with the
// deadline, as all do.
//
// Else it is as [Handle].
func HandleTx[Tx, Req, Rep any](s *Server, m Method, h func(ctx context.Context, tx Tx, req Req) (Rep, error)) error {
	if h == nil {
		return fmt.Errorf("warren: the handler of %s is nil", m.Name)
	}
	if m.Dedupe.Mode == AtLeastOnce {
		m.Dedupe.Mode = Transactional
	}
	m = m.withDefaults(s.cfg.Store)
	if m.Dedupe.Mode != Transactional {
		return fmt.Errorf("warren: server.Method.Dedupe.Mode of %s is %v; a handler with a transaction needs transactional",
			m.Name, m.Dedupe.Mode)
	}
	st, ok := s.cfg.Store.(store.Transactional[Tx])
	if !ok {
		return fmt.Errorf("warren: server.Config.Store has no transactions of the type that the handler of %s takes, %v",
			m.Name, reflect.TypeFor[Tx]())
	}
	transact := func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx any) (store.Result, error)) error {
		return st.Transact(ctx, key, token, retention, func(tx Tx) (store.Result, error) { return fn(tx) })
	}
	return s.register(m, transact, typed(m.Codec, func(ctx context.Context, tx any, req Req) (Rep, error) {
		own, _ := tx.(Tx) // transact gives no other
		return h(ctx, own, req)
	}))
}

// prepare decodes and checks a request, and returns the application's function
// with it.
type prepare func(r *warren.Request) (body, error)

func typed[Req, Rep any](codec warren.Codec, h func(ctx context.Context, tx any, req Req) (Rep, error)) prepare {
	return func(r *warren.Request) (body, error) {
		var req Req
		if raw, ok := any(&req).(*[]byte); ok {
			*raw = r.Body
		} else if err := decode(codec, r, &req); err != nil {
			return nil, err
		} else if err := validate(&req, req); err != nil {
			return nil, err
		}
		return func(ctx context.Context, tx any) (*warren.Reply, error) {
			rep, err := h(ctx, tx, req)
			if err != nil {
				return nil, err
			}
			if raw, ok := any(rep).([]byte); ok {
				return &warren.Reply{Body: raw}, nil
			}
			encoded, err := codec.Marshal(rep)
			if err != nil {
				return nil, fmt.Errorf("warren: encode the reply of %s: %w", r.Method, err)
			}
			return &warren.Reply{ContentType: codec.ContentType(), Body: encoded}, nil
		}, nil
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
