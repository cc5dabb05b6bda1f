package warren_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warren-rpc/warren"
)

// A handler chooses what its caller sees by returning an *Error.
func ExampleErrorf() {
	err := warren.Errorf(warren.CodeNotFound, "there is no order %d", 4711).
		WithReason("no_such_order").
		WithDetail("order", "4711")
	fmt.Println(err)
	fmt.Println(err.Details["order"])
	// Output:
	// not_found/no_such_order (unknown): there is no order 4711
	// 4711
}

// A caller decides by code, reason and outcome, never by text.
func ExampleAsError() {
	call := func() error {
		return &warren.Error{
			Code: warren.CodeUnavailable, Reason: warren.ReasonNoServer, Outcome: warren.NotExecuted,
			Method: "orders.pay", RetryAfter: 2 * time.Second,
		}
	}
	err := fmt.Errorf("checkout: %w", call())
	if e, ok := warren.AsError(err); ok && e.Outcome == warren.NotExecuted {
		fmt.Println("nothing was paid; again in", e.RetryAfter)
	}
	// Output:
	// nothing was paid; again in 2s
}

// A deadline is the same on both sides of the wire.
func ExampleError_Is() {
	err := error(&warren.Error{Code: warren.CodeDeadlineExceeded, Remote: true})
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled))
	// Output:
	// true false
}

// A call that was published twice is executed if either attempt was, and not
// executed only if neither was.
func ExampleOutcome_Join() {
	fmt.Println(warren.NotExecuted.Join(warren.NotExecuted))
	fmt.Println(warren.NotExecuted.Join(warren.Unknown))
	fmt.Println(warren.Unknown.Join(warren.Executed))
	// Output:
	// not_executed
	// unknown
	// executed
}

// The first interceptor is the outermost: it sees the request first and the
// reply last.
func ExampleChain() {
	logged := func(name string) warren.Interceptor {
		return func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				fmt.Println(name, "sees", req.Method)
				reply, err := next(ctx, req)
				fmt.Println(name, "sees", string(reply.Body))
				return reply, err
			}
		}
	}
	hello := func(context.Context, *warren.Request) (*warren.Reply, error) {
		return &warren.Reply{Body: []byte("hello")}, nil
	}
	handler := warren.Chain(hello, logged("outer"), logged("inner"))
	if _, err := handler(context.Background(), &warren.Request{Method: "greet"}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// outer sees greet
	// inner sees greet
	// inner sees hello
	// outer sees hello
}

// Only text that is marked reaches a caller; other errors may say what callers
// must not know.
func ExamplePublic() {
	secret := errors.New("dial 10.0.0.7: password wrong")
	told := warren.Public(errors.New("the archive is being moved"))
	for _, err := range []error{secret, fmt.Errorf("archive 10.0.0.7: %w", told)} {
		text, public := warren.PublicText(err)
		fmt.Printf("%t %q\n", public, text)
	}
	// Output:
	// false ""
	// true "the archive is being moved"
}

// A handler whose first step fails has done nothing, unless that step was a call which
// may have been executed.
func ExampleNothingDone() {
	for _, outcome := range []warren.Outcome{warren.NotExecuted, warren.Unknown} {
		err := error(&warren.Error{Code: warren.CodeUnavailable, Method: "stock.reserve", Outcome: outcome})
		fmt.Println(outcome, warren.DidNothing(warren.NothingDone(err)))
	}
	// Output:
	// not_executed true
	// unknown false
}

// What another server said reaches the caller if the handler passes it on.
func ExamplePassOn() {
	err := &warren.Error{
		Code: warren.CodeFailedPrecondition, Reason: "sold_out", Message: "none left", Method: "stock.reserve", Remote: true,
	}
	told, _ := warren.PassedOn(fmt.Errorf("order 4711: %w", warren.PassOn(err)))
	fmt.Println(told.Code, told.Reason, told.Message)
	// Output: failed_precondition sold_out none left
}

// Validate names what is wrong and never repeats a URL, since URLs carry
// passwords.
func ExampleBroker_Validate() {
	broker := warren.Broker{URLs: []string{"amqp://shop:p#ssword@rabbit"}}
	fmt.Println(broker.Validate())
	// Output:
	// warren: Broker.URLs[0]: not a URL (a password with special characters must be percent-encoded)
}
