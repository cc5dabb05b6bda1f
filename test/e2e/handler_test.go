package e2e

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestHandlerFailuresReachTheCallerTyped(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	var log rig.Log
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: []string{url}}, Logger: log.Logger(), MaxReply: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.HandleRaw(server.Method{Name: "fail"}, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
		switch string(req.Body) {
		case "panic":
			panic("the password is hunter2")
		case "goexit":
			runtime.Goexit()
		case "plain":
			return nil, errors.New("the password is hunter2")
		case "public":
			return nil, fmt.Errorf("as hunter2: %w", warren.Public(errors.New("try the other door")))
		case "typed":
			return nil, fmt.Errorf("inner: %w", warren.Errorf(warren.CodeFailedPrecondition, "not now").WithReason("night").WithRetryAfter(90*time.Millisecond))
		case "downstream":
			return nil, &warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonNoServer, Outcome: warren.NotExecuted, Message: "hunter2", Method: "other", CallID: "x"}
		case "deadline":
			<-ctx.Done()
			return nil, ctx.Err()
		case "large":
			return &warren.Reply{Body: make([]byte, 1001)}, nil
		case "unsendable":
			return &warren.Reply{Header: warren.Header{"CC": "x"}}, nil
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	defer rig.Stop(t, s)
	c := newClient(t, url)

	for _, tc := range []struct {
		body   string
		code   warren.Code
		reason string
	}{
		{"panic", warren.CodeInternal, warren.ReasonPanic},
		{"goexit", warren.CodeInternal, warren.ReasonPanic},
		{"plain", warren.CodeUnknown, ""},
		{"public", warren.CodeUnknown, ""},
		{"typed", warren.CodeFailedPrecondition, "night"},
		{"downstream", warren.CodeUnavailable, ""},
		{"large", warren.CodeResourceExhausted, warren.ReasonReplyTooLarge},
		{"unsendable", warren.CodeInternal, warren.ReasonBadReply},
	} {
		_, err := c.Call(testContext(t), "fail", []byte(tc.body))
		e := rig.WantError(t, err, tc.code, tc.reason, warren.Executed)
		if !e.Remote {
			t.Errorf("%s: the error does not say that it came from the server", tc.body)
		}
		if strings.Contains(e.Error(), "hunter2") {
			t.Errorf("%s: the caller is told what it must not know: %v", tc.body, e)
		}
		switch tc.body {
		case "panic", "goexit", "plain":
			if e.Incident == "" || !strings.Contains(log.String(), e.Incident) {
				t.Errorf("%s: the log has no incident %q", tc.body, e.Incident)
			}
		case "public":
			if e.Message != "try the other door" {
				t.Errorf("message is %q", e.Message)
			}
		case "typed":
			if e.RetryAfter != 90*time.Millisecond || e.Message != "not now" {
				t.Errorf("error is %+v", e)
			}
		}
	}
	if !strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "handler_test.go") {
		t.Error("the log lacks the panic or its stack")
	}
	_, err = c.Call(testContext(t), "fail", []byte("deadline"), client.WithTimeout(patience.Brief))
	if !errors.Is(err, context.DeadlineExceeded) || warren.CodeOf(err) != warren.CodeDeadlineExceeded {
		t.Errorf("error is %v", err)
	}
	// All 64 workers live on after a Goexit each.
	for range 100 {
		_, err := c.Call(testContext(t), "fail", []byte("goexit"))
		rig.WantError(t, err, warren.CodeInternal, warren.ReasonPanic, warren.Executed)
	}
}

func TestRequestsOutOfBoundsNeverReachAHandlerOrTheWire(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "never"}, func(context.Context, *warren.Request) (*warren.Reply, error) {
			t.Error("a handler ran")
			return nil, nil
		})
	})
	strict := newClient(t, url)
	lax := newClient(t, url, func(cfg *client.Config) { cfg.MaxRequest = 8 << 20 })
	if err := strict.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 300)
	for name, tc := range map[string]struct {
		c      *client.Client
		method string
		body   []byte
		opts   []client.CallOption
		code   warren.Code
		reason string
	}{
		"body, client": {strict, "never", make([]byte, 1<<20+1), nil, warren.CodeResourceExhausted, warren.ReasonRequestTooLarge},
		"body, server": {lax, "never", make([]byte, 1<<20+1), nil, warren.CodeResourceExhausted, warren.ReasonRequestTooLarge},
		"method":       {strict, "no/such", nil, nil, warren.CodeInvalidArgument, warren.ReasonBadRequest},
		"long method":  {strict, long, nil, nil, warren.CodeInvalidArgument, warren.ReasonBadRequest},
		"call ID":      {strict, "never", nil, []client.CallOption{client.WithCallID(long)}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
		"content type": {strict, "never", nil, []client.CallOption{client.WithContentType(long)}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
		"header name":  {strict, "never", nil, []client.CallOption{client.WithHeader(long, "")}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
		"carbon copy":  {strict, "never", nil, []client.CallOption{client.WithHeader("CC", "x")}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
		"header bytes": {strict, "never", nil, []client.CallOption{client.WithHeader("k", strings.Repeat("x", 17<<10))}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.c.Call(testContext(t), tc.method, tc.body, tc.opts...)
			rig.WantError(t, err, tc.code, tc.reason, warren.NotExecuted)
		})
	}
	if n := strict.Stats().Reconnects + lax.Stats().Reconnects; n != 0 {
		t.Errorf("a bad call cost %d connections", n)
	}
}
