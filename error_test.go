package warren_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
)

func TestErrorTextLeavesOutWhatIsEmpty(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  warren.Error
		want string
	}{
		{warren.Error{Code: warren.CodeInternal}, "internal (unknown)"},
		{
			warren.Error{Code: warren.CodeUnavailable, Reason: "no_route", Outcome: warren.NotExecuted},
			"unavailable/no_route (not_executed)",
		},
		{
			warren.Error{Code: warren.CodeNotFound, Outcome: warren.Executed, Message: "no such order", Method: "orders.get"},
			"orders.get: not_found (executed): no such order",
		},
		{
			warren.Error{
				Code: warren.CodeInternal, Reason: "panic", Outcome: warren.Executed, Message: "it panicked",
				Method: "m", CallID: "id", Attempts: 3, Incident: "4711", Cause: io.EOF,
			},
			"m: internal/panic (executed): it panicked [incident 4711]",
		},
		{warren.Error{}, "code(0) (unknown)"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%+v reads\n%s; want\n%s", test.err, got, test.want)
		}
	}
}

func TestErrorIsTheContextErrorOfItsCode(t *testing.T) {
	t.Parallel()
	for code := range codes {
		for _, err := range []error{
			&warren.Error{Code: code},
			&warren.Error{Code: code, Remote: true},
			fmt.Errorf("wrapped: %w", &warren.Error{Code: code}),
		} {
			if got, want := errors.Is(err, context.DeadlineExceeded), code == warren.CodeDeadlineExceeded; got != want {
				t.Errorf("%v is DeadlineExceeded: %v", err, got)
			}
			if got, want := errors.Is(err, context.Canceled), code == warren.CodeCanceled; got != want {
				t.Errorf("%v is Canceled: %v", err, got)
			}
			if errors.Is(err, io.EOF) {
				t.Errorf("%v is io.EOF", err)
			}
		}
	}
}

func TestErrorShowsItsCause(t *testing.T) {
	t.Parallel()
	cause := &custom{"disk"}
	err := error(&warren.Error{Code: warren.CodeUnavailable, Cause: fmt.Errorf("write: %w", cause)})
	var found *custom
	if !errors.Is(err, cause) || !errors.As(err, &found) || found != cause {
		t.Fatalf("the cause of %v is not seen", err)
	}
	if !errors.Is(&warren.Error{Code: warren.CodeInternal, Cause: context.Canceled}, context.Canceled) {
		t.Fatal("a context error is not seen as the cause of an error with another code")
	}
}

type custom struct{ what string }

func (c *custom) Error() string { return c.what }

func TestErrorfKeepsWhatItWraps(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	for _, test := range []struct {
		name string
		err  *warren.Error
		text string
		is   []error
	}{
		{"nothing", warren.Errorf(warren.CodeInternal, "plain %d", 7), "plain 7", nil},
		{"one error", warren.Errorf(warren.CodeInternal, "read: %w", io.EOF), "read: EOF", []error{io.EOF}},
		{"two errors", warren.Errorf(warren.CodeInternal, "%w and %w", io.EOF, other), "EOF and other", []error{io.EOF, other}},
		{"text only", warren.Errorf(warren.CodeInternal, "read: %v", io.EOF), "read: EOF", nil},
	} {
		if test.err.Code != warren.CodeInternal || test.err.Message != test.text {
			t.Errorf("%s: %+v; want the message %q", test.name, test.err, test.text)
		}
		for _, cause := range []error{io.EOF, other} {
			if got, want := errors.Is(test.err, cause), slices.Contains(test.is, cause); got != want {
				t.Errorf("%s: errors.Is(err, %v) is %v; want %v", test.name, cause, got, want)
			}
		}
	}
}

func TestWithMethodsLeaveTheOriginalAlone(t *testing.T) {
	t.Parallel()
	first := &warren.Error{Code: warren.CodeAborted, Message: "m", Details: map[string]string{"a": "1"}}
	second := first.WithReason("conflict").WithDetail("b", "2").WithDetail("a", "3").WithRetryAfter(time.Second)
	if first.Reason != "" || first.RetryAfter != 0 || len(first.Details) != 1 || first.Details["a"] != "1" {
		t.Errorf("the original has changed to %+v", first)
	}
	if second.Reason != "conflict" || second.RetryAfter != time.Second || second.Code != warren.CodeAborted ||
		second.Message != "m" || len(second.Details) != 2 || second.Details["a"] != "3" || second.Details["b"] != "2" {
		t.Errorf("the copy is %+v", second)
	}
	second.Details["c"] = "4"
	if third := second.WithDetail("d", "5"); len(second.Details) != 3 || len(third.Details) != 4 {
		t.Errorf("copies share their details: %v and %v", second.Details, third.Details)
	}
	if bare := (&warren.Error{Code: warren.CodeAborted}).WithDetail("a", "1"); bare.Details["a"] != "1" {
		t.Errorf("a first detail is lost: %+v", bare)
	}
}

func TestAsErrorAndCodeOf(t *testing.T) {
	t.Parallel()
	inner := &warren.Error{Code: warren.CodeNotFound}
	outer := warren.Errorf(warren.CodeInternal, "lookup: %w", inner)
	for _, test := range []struct {
		name string
		err  error
		as   *warren.Error
		code warren.Code
	}{
		{"nil", nil, nil, 0},
		{"an Error", inner, inner, warren.CodeNotFound},
		{"a wrapped Error", fmt.Errorf("x: %w", inner), inner, warren.CodeNotFound},
		{"a joined Error", errors.Join(io.EOF, inner), inner, warren.CodeNotFound},
		{"an Error around another", outer, outer, warren.CodeInternal},
		{"a public Error", warren.Public(inner), inner, warren.CodeNotFound},
		{"a deadline", fmt.Errorf("x: %w", context.DeadlineExceeded), nil, warren.CodeDeadlineExceeded},
		{"a cancel", context.Canceled, nil, warren.CodeCanceled},
		{"any other", io.EOF, nil, warren.CodeUnknown},
	} {
		if e, ok := warren.AsError(test.err); e != test.as || ok != (test.as != nil) {
			t.Errorf("%s: AsError = %v, %v", test.name, e, ok)
		}
		if code := warren.CodeOf(test.err); code != test.code {
			t.Errorf("%s: CodeOf = %v; want %v", test.name, code, test.code)
		}
	}
}

// A function that returns *Error, called where error is wanted, yields an error
// that is not nil and holds nil. It must not take the process down.
func TestNilErrorInAnErrorIsHarmless(t *testing.T) {
	t.Parallel()
	var none *warren.Error
	for _, err := range []error{none, fmt.Errorf("wrapped: %w", none), errors.Join(none, io.EOF)} {
		if err.Error() == "" {
			t.Error("no text")
		}
		if e, ok := warren.AsError(err); ok || e != nil {
			t.Errorf("AsError found %v", e)
		}
		if code := warren.CodeOf(err); code != warren.CodeUnknown {
			t.Errorf("the code is %v; want unknown", code)
		}
		if _, public := warren.PublicText(err); public || errors.Is(err, context.Canceled) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v says something", err)
		}
	}
}

func TestPublicMarksWithoutChanging(t *testing.T) {
	t.Parallel()
	if _, public := warren.PublicText(nil); warren.Public(nil) != nil || public {
		t.Fatal("nil is public")
	}
	err := warren.Public(io.EOF)
	if text, public := warren.PublicText(err); !public || text != io.EOF.Error() || !errors.Is(err, io.EOF) || err.Error() != io.EOF.Error() {
		t.Errorf("Public(EOF) is %v", err)
	}
	if text, public := warren.PublicText(fmt.Errorf("secret: %w", err)); !public || text != io.EOF.Error() {
		t.Error("the mark is not seen through a wrapper")
	}
	_, one := warren.PublicText(io.EOF)
	_, other := warren.PublicText(&warren.Error{Code: warren.CodeInternal})
	if one || other {
		t.Error("an error that nobody marked is public")
	}
	if warren.CodeOf(warren.Public(context.DeadlineExceeded)) != warren.CodeDeadlineExceeded {
		t.Error("the mark hides the code")
	}
}
