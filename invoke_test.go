package warren_test

import (
	"context"
	"slices"
	"testing"

	"github.com/warren-rpc/warren"
)

func TestChainPutsTheFirstOutermost(t *testing.T) {
	t.Parallel()
	var order []string
	note := func(name string) warren.Interceptor {
		return func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				order = append(order, name+" in")
				defer func() { order = append(order, name+" out") }()
				return next(ctx, req)
			}
		}
	}
	handler := func(context.Context, *warren.Request) (*warren.Reply, error) {
		order = append(order, "handler")
		return &warren.Reply{Body: []byte("reply")}, nil
	}
	reply, err := warren.Chain(handler, note("a"), nil, note("b"))(t.Context(), &warren.Request{})
	if err != nil || string(reply.Body) != "reply" {
		t.Fatalf("the reply is %v, %v", reply, err)
	}
	if want := []string{"a in", "b in", "handler", "b out", "a out"}; !slices.Equal(order, want) {
		t.Fatalf("the order is %v; want %v", order, want)
	}
}

func TestChainOfNothingIsTheHandler(t *testing.T) {
	t.Parallel()
	calls := 0
	handler := func(context.Context, *warren.Request) (*warren.Reply, error) {
		calls++
		return nil, context.Canceled
	}
	for _, chain := range []warren.Handler{warren.Chain(handler), warren.Chain(handler, nil, nil)} {
		if _, err := chain(t.Context(), nil); err != context.Canceled { //nolint:errorlint // the very same
			t.Errorf("the error is %v", err)
		}
	}
	if calls != 2 {
		t.Errorf("the handler was called %d times", calls)
	}
}

func TestRequestTravelsInTheContext(t *testing.T) {
	t.Parallel()
	if req := warren.RequestFromContext(t.Context()); req != nil {
		t.Fatalf("a request from nowhere: %v", req)
	}
	outer, inner := &warren.Request{Method: "outer"}, &warren.Request{Method: "inner"}
	ctx := warren.ContextWithRequest(t.Context(), outer)
	nested := warren.ContextWithRequest(ctx, inner)
	if warren.RequestFromContext(ctx) != outer || warren.RequestFromContext(nested) != inner {
		t.Fatal("the wrong request")
	}
}
