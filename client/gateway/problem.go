package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/warren-rpc/warren"
)

// problem is an error as it is told to an HTTP caller.
type problem struct {
	status     int
	detail     string
	code       warren.Code
	reason     string
	outcome    warren.Outcome
	callID     string
	incident   string
	details    map[string]string
	retryAfter int // seconds; 0: nothing is said of it
	replayed   bool
	cause      error // for the log
	attempts   int   // likewise
}

// problemOf returns how an error is told. That of a hook speaks to its caller as one
// from a server does.
func problemOf(e *warren.Error, hook bool) *problem {
	told := *e
	told.Remote = e.Remote || hook
	k, own := kindOf(&told)
	p := &problem{
		status: k.status, detail: k.text, code: e.Code, reason: e.Reason, outcome: e.Outcome,
		callID: e.CallID, incident: e.Incident, retryAfter: advice(e, k.status), replayed: e.Replayed,
		cause: e, attempts: e.Attempts,
	}
	if !p.code.Valid() {
		p.code = warren.CodeUnknown
	}
	if own {
		p.detail, p.details = e.Message, e.Details
	}
	return p
}

// refusalCodes are the codes of what the gateway itself refuses, by status.
var refusalCodes = map[int]warren.Code{
	http.StatusBadRequest: warren.CodeInvalidArgument, http.StatusUnauthorized: warren.CodeUnauthenticated,
	http.StatusNotFound: warren.CodeNotFound, http.StatusMethodNotAllowed: warren.CodeUnimplemented,
	http.StatusRequestTimeout: warren.CodeDeadlineExceeded, http.StatusRequestEntityTooLarge: warren.CodeResourceExhausted,
	http.StatusTooManyRequests: warren.CodeResourceExhausted, http.StatusServiceUnavailable: warren.CodeUnavailable,
}

// refusal is what the gateway itself refuses: nothing was called.
func refusal(status int, reason, detail string) *problem {
	return &problem{
		status: status, detail: detail, code: refusalCodes[status], reason: reason, outcome: warren.NotExecuted,
	}
}

// badReply is a reply that cannot be told: what it answers was executed.
func badReply(reply *warren.Reply, detail string) *problem {
	return &problem{
		status: http.StatusBadGateway, detail: detail, code: warren.CodeInternal, reason: warren.ReasonBadReply,
		outcome: warren.Executed, callID: reply.CallID, replayed: reply.Replayed, attempts: reply.Attempts,
	}
}

// problemType is the media type of RFC 9457.
const problemType = "application/problem+json"

// document is the body of an error.
type document struct {
	Type     string            `json:"type"`
	Title    string            `json:"title"`
	Status   int               `json:"status"`
	Detail   string            `json:"detail"`
	Code     warren.Code       `json:"code"`
	Reason   string            `json:"reason,omitempty"`
	Outcome  warren.Outcome    `json:"outcome"`
	CallID   string            `json:"call_id,omitempty"`
	Incident string            `json:"incident,omitempty"`
	Details  map[string]string `json:"details,omitempty"`
}

func title(status int) string {
	if status == StatusClientClosedRequest {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// refuse answers with a problem.
func (x *exchange) refuse(p *problem) {
	x.told = p
	h := x.w.Header()
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", x.g.cfg.Challenge)
	}
	x.named(p.callID, p.replayed)
	h.Set("Cache-Control", "no-store")
	// What a server says may be any bytes, and becomes text here.
	body, err := json.Marshal(document{
		Type: "about:blank", Title: title(p.status), Status: p.status, Detail: strings.ToValidUTF8(p.detail, "\uFFFD"), Code: p.code,
		Reason: p.reason, Outcome: p.outcome, CallID: p.callID, Incident: p.incident, Details: p.details,
	})
	if err != nil {
		body = []byte("{}") // it is made of texts and numbers
	}
	x.send(p.status, problemType, body)
}

// named tells which call it was.
func (x *exchange) named(callID string, replayed bool) {
	x.callID = callID
	if fieldValue(callID) && callID != "" {
		x.w.Header().Set(headerCall, callID)
	}
	if replayed {
		x.replayed = true
		x.w.Header().Set(headerReplay, "true")
	}
}
