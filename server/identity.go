package server

import (
	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// identity is by what a deduped request is known.
type identity struct {
	key         store.Key
	fingerprint store.Fingerprint
}

// keys makes the identities of a method's calls.
type keys struct {
	m        *method
	volatile map[string]bool // headers
}

func newKeys(m *method) keys {
	volatile := map[string]bool{wire.ReplayMark: true} // it is the same call
	for _, name := range m.Dedupe.Volatile {
		volatile[name] = true
	}
	return keys{m, volatile}
}

// identify returns the request's identity, nil if it has none and needs none.
func (k *keys) identify(req *warren.Request, replyTo string) (*identity, *warren.Error) {
	if k.m.Dedupe.Mode == AtLeastOnce && (req.CallID == "" || req.Plain && replyTo == "") {
		// Nothing says whose ID a plain caller's is that takes no reply: it may be "1",
		// and somebody else's too.
		return nil, nil
	}
	if req.CallID == "" {
		return nil, warren.Errorf(warren.CodeInvalidArgument, "the method demands a correlation ID").
			WithReason(warren.ReasonMissingIdentifier)
	}
	scope, refusal := k.scope(req, req.CallID)
	if refusal != nil {
		return nil, refusal
	}
	if req.Plain {
		scope.ReplyTo = replyTo
	}
	return &identity{scope.Key(), wire.Fingerprint(req, k.volatile)}, nil
}

// scope returns what a call is known by to whoever sent the request.
func (k *keys) scope(req *warren.Request, callID string) (store.Scope, *warren.Error) {
	scope := store.Scope{Namespace: k.m.s.cfg.Namespace, Method: k.m.Name, CallID: callID}
	if k.m.Dedupe.ByCaller {
		if req.UserID == "" {
			return scope, warren.Errorf(warren.CodeUnauthenticated, "the method demands a user ID that the broker has validated").
				WithReason(warren.ReasonMissingIdentifier)
		}
		scope.Caller = req.UserID
	}
	if k.m.Dedupe.Tenant == nil {
		return scope, nil
	}
	about := *req
	about.CallID = callID
	tenant, refusal := k.tenant(&about)
	scope.Tenant = tenant
	return scope, refusal
}

// tenant calls the application's function, which may panic.
func (k *keys) tenant(req *warren.Request) (tenant string, refusal *warren.Error) {
	defer func() {
		if p := recover(); p != nil {
			refusal = panicError("the tenant of the request cannot be told; the server's log has the rest")
			logPanic(k.m, "the function Tenant panicked", req.CallID, refusal, p)
		}
	}()
	return k.m.Dedupe.Tenant(req), nil
}
