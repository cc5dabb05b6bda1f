package gateway

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/warren-rpc/warren"
)

// Identity is who makes a request, as Config.Authenticate says. Servers get it as
// headers that no request can set: they may trust it as far as the broker lets nobody
// but the gateway's user write to their queues.
type Identity struct {
	// Subject names the caller, as http.subject. It is a part of the IDs of calls with
	// an Idempotency-Key. Empty: the caller has no name.
	Subject string
	// Claims is what else servers are told, each as http.claim.NAME.
	Claims map[string]string
}

// BearerTokens returns a hook for Config.Authenticate that knows callers by a token
// in the header Authorization: Bearer. The keys are the SHA-256 of the tokens, so
// that who reads them cannot call; the values are the callers' subjects. A request
// without a token, or with an unknown one, is unauthenticated. The map must not change
// afterwards.
func BearerTokens(subjects map[[sha256.Size]byte]string) func(*http.Request) (Identity, error) {
	return func(r *http.Request) (Identity, error) {
		values := r.Header.Values("Authorization")
		if len(values) != 1 {
			return Identity{}, warren.Errorf(warren.CodeUnauthenticated, "a bearer token is missing")
		}
		scheme, token, _ := strings.Cut(values[0], " ")
		token = strings.Trim(token, " ")
		// The time that the look-up takes tells of the hash alone.
		subject, known := subjects[sha256.Sum256([]byte(token))]
		if !strings.EqualFold(scheme, "Bearer") || token == "" || !known {
			return Identity{}, warren.Errorf(warren.CodeUnauthenticated, "the bearer token is not valid")
		}
		return Identity{Subject: subject}, nil
	}
}

// identify asks who makes the request.
func (x *exchange) identify() *problem {
	if x.g.cfg.Authenticate == nil {
		return nil
	}
	id, err := x.g.cfg.Authenticate(x.r)
	if err == nil {
		x.identity = id
		return nil
	}
	p := refusal(http.StatusUnauthorized, ReasonUnauthenticated, "the caller is not known")
	if e, ok := warren.AsError(err); ok {
		p = problemOf(e, true)
		p.outcome = warren.NotExecuted
	}
	p.cause = err
	return p
}
