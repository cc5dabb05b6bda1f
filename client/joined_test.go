package client_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// That an attempt could not be made is no news of a call whose attempt before was
// executed: what came of that one is told.
func TestErrorsOfCallsWithSeveralAttemptsDoNotContradictThemselves(t *testing.T) {
	for name, c := range map[string]struct {
		handle  warren.Handler
		reason  string
		outcome warren.Outcome
		says    string
	}{
		"executed, then not made": {
			func(context.Context, *warren.Request) (*warren.Reply, error) {
				return nil, warren.Errorf(warren.CodeUnavailable, "the stock is away")
			}, "", warren.Executed, "the stock is away",
		},
		"unknown, then not made": {
			func(ctx context.Context, _ *warren.Request) (*warren.Reply, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}, warren.ReasonNoRoute, warren.Unknown, "; an attempt before may have been executed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(server.Method{Name: "m"}, c.handle)
				caller := r.Ready()
				r.Broker.Inject(amqptest.Rule{
					When: amqptest.When{Method: "basic.publish", ConnName: "*client, publishes*"}, Nth: 2, Do: amqptest.Return(),
				})
				_, err := caller.Call(r.T.Context(), "m", nil, client.Idempotent(), client.WithTimeout(10*time.Second), client.WithAttempts(3))
				e := rig.WantError(r.T, err, warren.CodeUnavailable, c.reason, c.outcome)
				if !strings.Contains(e.Message, c.says) || e.Attempts != 2 {
					r.T.Errorf("%+v", e)
				}
			})
		})
	}
}
