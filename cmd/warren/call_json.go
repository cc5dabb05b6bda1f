package main

import (
	"encoding/json"
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/warren-rpc/warren"
)

// callResult is what `warren call --json` prints of a reply.
type callResult struct {
	OK         bool    `json:"ok"`
	Body       any     `json:"body,omitempty"` // a string, or a JSON value as it came
	BodyBase64 []byte  `json:"body_base64,omitempty"`
	CallID     string  `json:"call_id"`
	Attempts   int     `json:"attempts"`
	Replayed   bool    `json:"replayed"`
	MS         float64 `json:"ms"`
}

func newCallResult(reply *warren.Reply, took time.Duration) callResult {
	r := callResult{
		OK: true, CallID: reply.CallID, Attempts: reply.Attempts, Replayed: reply.Replayed, MS: milliseconds(took),
	}
	switch {
	case !utf8.Valid(reply.Body):
		r.BodyBase64 = reply.Body
	case isJSON(reply.ContentType) && json.Valid(reply.Body):
		r.Body = json.RawMessage(reply.Body)
	default:
		r.Body = string(reply.Body)
	}
	return r
}

// isJSON reports whether a content type is application/json or one that is
// built on it.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}

// callFailure is what `warren call --json` prints of an error.
type callFailure struct {
	OK           bool              `json:"ok"`
	Code         warren.Code       `json:"code"`
	Reason       string            `json:"reason"`
	Outcome      warren.Outcome    `json:"outcome"`
	Message      string            `json:"message"`
	CallID       string            `json:"call_id"`
	Attempts     int               `json:"attempts"`
	MS           float64           `json:"ms"`
	RetryAfterMS float64           `json:"retry_after_ms,omitempty"`
	Incident     string            `json:"incident,omitempty"`
	Details      map[string]string `json:"details,omitempty"`
	// Issued, in Unix milliseconds, and Proof are for warren resolve.
	Issued int64  `json:"issued,omitempty"`
	Proof  string `json:"proof,omitempty"`
}

func newCallFailure(e *warren.Error, took time.Duration) callFailure {
	f := callFailure{
		Code: e.Code, Reason: e.Reason, Outcome: e.Outcome, Message: e.Message, CallID: e.CallID,
		Attempts: e.Attempts, MS: milliseconds(took), RetryAfterMS: milliseconds(e.RetryAfter),
		Incident: e.Incident, Details: e.Details,
	}
	if e.Proof != (warren.Proof{}) {
		f.Proof = e.Proof.String()
	}
	if !e.Issued.IsZero() {
		f.Issued = e.Issued.UnixMilli()
	}
	return f
}
