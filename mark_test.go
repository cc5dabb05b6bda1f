package warren_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
)

func TestNothingDoneHoldsUnlessACallWasExecuted(t *testing.T) {
	t.Parallel()
	call := func(o warren.Outcome) error {
		return &warren.Error{Code: warren.CodeUnavailable, Method: "other", Outcome: o}
	}
	own := warren.Errorf(warren.CodeUnavailable, "away")
	vouching := &warren.Error{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nil":                       {nil, false},
		"any error":                 {io.EOF, false},
		"marked":                    {warren.NothingDone(io.EOF), true},
		"wrapped":                   {fmt.Errorf("x: %w", warren.NothingDone(io.EOF)), true},
		"marked twice over":         {warren.NothingDone(warren.PassOn(warren.Public(io.EOF))), true},
		"of a context":              {warren.NothingDone(context.DeadlineExceeded), true},
		"own":                       {own, false},
		"own, marked":               {warren.NothingDone(own), true},
		"own, by its outcome":       {fmt.Errorf("x: %w", vouching), true},
		"call, bare":                {call(warren.NotExecuted), false},
		"call, not executed":        {warren.NothingDone(call(warren.NotExecuted)), true},
		"call, unknown":             {warren.NothingDone(call(warren.Unknown)), false},
		"call, executed":            {warren.NothingDone(warren.PassOn(call(warren.Executed))), false},
		"two calls":                 {warren.NothingDone(errors.Join(call(warren.NotExecuted), io.EOF, call(warren.Executed))), false},
		"two calls, neither":        {warren.NothingDone(errors.Join(call(warren.NotExecuted), call(warren.NotExecuted))), true},
		"own that is caused by one": {warren.NothingDone(&warren.Error{Code: warren.CodeAborted, Cause: call(warren.Unknown)}), false},
		"a nil *Error":              {warren.NothingDone((*warren.Error)(nil)), true},
	} {
		if got := warren.DidNothing(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if warren.NothingDone(nil) != nil || warren.PassOn(nil) != nil {
		t.Error("a mark of nil is an error")
	}
	if !errors.Is(warren.NothingDone(warren.PassOn(io.EOF)), io.EOF) || warren.NothingDone(io.EOF).Error() != "EOF" {
		t.Error("a mark hides what it marks")
	}
}

func TestPassOnTellsWhatCameFromTheServerThatWasCalled(t *testing.T) {
	t.Parallel()
	remote := &warren.Error{
		Code: warren.CodeFailedPrecondition, Reason: "sold_out", Outcome: warren.Executed, Message: "none left", Method: "stock.take",
		CallID: "id", Attempts: 2, RetryAfter: time.Minute, Remote: true, Replayed: true, Incident: "4711",
		Details: map[string]string{"item": "7"}, Cause: io.EOF, Issued: time.Now(),
	}
	told, ok := warren.PassedOn(fmt.Errorf("reserve: %w", warren.NothingDone(warren.PassOn(remote))))
	want := &warren.Error{
		Code: remote.Code, Reason: remote.Reason, Message: remote.Message, RetryAfter: remote.RetryAfter, Incident: remote.Incident,
		Details: remote.Details,
	}
	if !ok || fmt.Sprintf("%+v", *told) != fmt.Sprintf("%+v", *want) {
		t.Errorf("%+v; want %+v", told, want)
	}
	local := &warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute, Message: "no queue", Method: "stock.take"}
	if told, ok := warren.PassedOn(warren.PassOn(local)); !ok || told.Reason != "" || told.Message != "no queue" {
		t.Errorf("%+v", told)
	}
	for name, err := range map[string]error{"unmarked": remote, "no *Error": warren.PassOn(io.EOF), "nil": nil} {
		if told, ok := warren.PassedOn(err); ok {
			t.Errorf("%s: %+v", name, told)
		}
	}
}
