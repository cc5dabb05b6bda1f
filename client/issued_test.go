package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/test/rig"
)

// What a server has stored arrives as what it is, a reply or an error.
func TestReplayedEndsSayThatTheyAre(t *testing.T) {
	for _, replayed := range []bool{false, true} {
		t.Run(fmt.Sprint(replayed), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "good", func(s *scripted, _ int, d amqp.Delivery) {
					s.send(d, wire.EncodeReply(requestOf(r.T, d), &warren.Reply{Replayed: replayed}, wire.Transient, wire.DefaultLimits()))
				})
				script(r, "bad", func(s *scripted, _ int, d amqp.Delivery) {
					s.refuse(d, &warren.Error{Code: warren.CodeNotFound, Outcome: warren.Executed, Replayed: replayed})
				})
				c := r.Ready()
				if reply := mustCall(r, c, "good", ""); reply.Replayed != replayed {
					r.T.Errorf("%+v", reply)
				}
				_, err := c.Call(r.T.Context(), "bad", nil)
				if e := rig.WantError(r.T, err, warren.CodeNotFound, "", warren.Executed); e.Replayed != replayed {
					r.T.Errorf("%+v", e)
				}
			})
		})
	}
}

// Whatever ends a call says when it was made, which is what the request said.
func TestErrorsSayWhenTheCallWasMade(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "hangs", func(*scripted, int, amqp.Delivery) {})
		script(r, "fails", func(s *scripted, _ int, d amqp.Delivery) {
			time.AfterFunc(time.Second, func() { s.refuse(d, &warren.Error{Code: warren.CodeNotFound, Outcome: warren.Executed}) })
		})
		wrap := func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				reply, err := next(ctx, req)
				if err != nil {
					err = fmt.Errorf("wrapped: %w", err)
				}
				return reply, err
			}
		}
		for name, c := range map[string]*client.Client{
			"bare": r.Ready(wait), "wrapped": r.Ready(wait, func(cfg *client.Config) { cfg.Interceptors = []warren.Interceptor{wrap} }),
		} {
			gone, cancel := context.WithCancel(r.T.Context())
			cancel()
			for end, call := range map[string]func() error{
				"deadline":       func() error { _, err := c.Call(r.T.Context(), "hangs", nil, client.Idempotent()); return err },
				"remote":         func() error { _, err := c.Call(r.T.Context(), "fails", nil); return err },
				"returned":       func() error { _, err := c.Call(r.T.Context(), "missing", nil); return err },
				"notification":   func() error { return c.Notify(r.T.Context(), "missing", nil) },
				"nothing is out": func() error { _, err := c.Call(gone, "hangs", nil); return err },
				"typed":          func() error { _, err := client.Call[int](r.T.Context(), c, "fails", 1); return err },
			} {
				time.Sleep(time.Minute)
				began := time.Now()
				e, ok := warren.AsError(call())
				if !ok || !e.Issued.Equal(began) {
					r.T.Fatalf("%s, %s: %+v", name, end, e)
				}
				for _, sent := range requests(r.Broker, e.Method) {
					if meta, err := wire.DecodeMeta(sent.Message.Type); !sent.At.Before(began) && !meta.Issued.Equal(e.Issued) {
						r.T.Errorf("%s, %s: issued %v, and sent as %s, %v", name, end, e.Issued, sent.Message.Type, err)
					}
				}
			}
		}
		c := r.Ready()
		if _, err := c.Ping(r.T.Context(), "missing"); !errors.As(err, new(*warren.Error)) || !issuedOf(err).IsZero() {
			r.T.Errorf("a ping is no call: %v", err)
		}
	})
}

func issuedOf(err error) time.Time {
	e, _ := warren.AsError(err)
	return e.Issued
}
