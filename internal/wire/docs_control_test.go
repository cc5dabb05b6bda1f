package wire_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

func TestResolvesAreReadAndWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	for _, vector := range vectors(t, "resolves", 10) {
		var v struct {
			Message    messageVector `json:"message"`
			Then       string        `json:"then"`
			Written    bool          `json:"written"`
			Attempt    int           `json:"attempt"`
			Deadline   int64         `json:"deadline"`
			Issued     int64         `json:"issued"`
			Nonce      string        `json:"nonce"`
			CallID     string        `json:"call_id"`
			CallIssued int64         `json:"call_issued"`
			Proof      string        `json:"proof"`
			Code       warren.Code   `json:"code"`
			Reason     string        `json:"reason"`
		}
		decodeVector(t, vector, &v)
		d := v.Message.delivery(t)
		req, r, err := wire.DecodeResolve(d, "orders.create", limits)
		e, typed := warren.AsError(err)
		switch {
		case v.Then == "drop":
			if req != nil || !errors.Is(err, wire.ErrNotControl) {
				t.Errorf("%s: %+v, %v", vector, req, err)
			}
		case v.Then == "refuse":
			if !typed || e.Code != v.Code || e.Reason != v.Reason || e.Outcome != warren.NotExecuted || req == nil {
				t.Errorf("%s: %+v, %v", vector, req, err)
			}
		case v.Then != "resolve":
			t.Errorf("%s: then what?", vector)
		case err != nil:
			t.Errorf("%s: %v", vector, err)
		case r != wire.Resolve{CallID: v.CallID, Issued: instant(v.CallIssued), Proof: proof(t, v.Proof)} || req.Attempt != v.Attempt ||
			!req.Deadline.Equal(instant(v.Deadline)) || !req.Issued.Equal(instant(v.Issued)) || req.Nonce != nonce(v.Nonce) ||
			req.CallID != d.CorrelationId || req.Caller != d.AppId || req.Method != "orders.create":
			t.Errorf("%s: %+v, %+v", vector, req, r)
		}
		if !v.Written {
			continue
		}
		if msg, e := wire.EncodeResolve(req, r); e != nil || msg.Type != d.Type || string(msg.Body) != string(d.Body) ||
			msg.CorrelationId != d.CorrelationId || msg.ContentType != d.ContentType || msg.AppId != d.AppId || len(msg.Headers) != 0 {
			t.Errorf("%s: written as %+v %s, %v", vector, msg, msg.Body, e)
		}
	}
}

func proof(t *testing.T, s string) (p warren.Proof) {
	if s == "" {
		return p
	}
	p, err := warren.ParseProof(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProofsAreHashedAsDocumented(t *testing.T) {
	t.Parallel()
	for _, vector := range vectors(t, "proofs", 4) {
		var v struct {
			ContentType     string `json:"content_type"`
			ContentEncoding string `json:"content_encoding"`
			Body            string `json:"body"`
			Proof           string `json:"proof"`
		}
		decodeVector(t, vector, &v)
		if got := warren.ProofOf(v.ContentType, v.ContentEncoding, []byte(v.Body)); got.String() != v.Proof {
			t.Errorf("%s: %v", vector, got)
		}
	}
}

func TestResolutionsAreReadAndWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	for _, vector := range vectors(t, "resolutions", 10) {
		var v struct {
			errorVector

			Body        string        `json:"body"`
			Then        string        `json:"then"`
			Written     bool          `json:"written"`
			Retained    bool          `json:"retained"`
			ContentType string        `json:"content_type"`
			Headers     warren.Header `json:"headers"`
			Incident    string        `json:"incident"`
			RetryAfter  int64         `json:"retry_after"`
		}
		decodeVector(t, vector, &v)
		r, err := wire.DecodeResolution([]byte(v.Body))
		if v.Then == "refuse" {
			if err == nil {
				t.Errorf("%s: %+v", vector, r)
			}
			continue
		}
		if err != nil || r.State != v.Then || r.Outcome != v.Outcome || r.Retained != v.Retained ||
			(r.Reply != nil) != (v.Retained && v.Then == "completed") || (r.Err != nil) != (v.Retained && v.Then == "failed") {
			t.Errorf("%s: %+v, %v", vector, r, err)
			continue
		}
		if r.Reply != nil && (string(r.Reply.Body) != v.Text || r.Reply.ContentType != v.ContentType || !maps.Equal(r.Reply.Header, v.Headers)) {
			t.Errorf("%s: %+v", vector, r.Reply)
		}
		if e := r.Err; e != nil && (e.Code != v.Code || e.Reason != v.Reason || e.Outcome != v.Outcome || e.Message != v.Text ||
			!maps.Equal(e.Details, v.Details) || e.Incident != v.Incident || e.RetryAfter != time.Duration(v.RetryAfter)*time.Millisecond) {
			t.Errorf("%s: %+v", vector, e)
		}
		if written := wire.EncodeResolution(r); v.Written && string(written) != v.Body {
			t.Errorf("%s: written as %s", vector, written)
		}
	}
}
