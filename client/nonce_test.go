package client_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rig"
)

// A caller that gives a call up and makes it again under its own ID, at the same
// instant, must not take what became of the first for what becomes of the second.
func TestNoInvocationIsToldWhatBecameOfAnotherOfItsID(t *testing.T) {
	for version, opts := range map[string][]client.CallOption{
		"1": {client.WithCallID("order-7")},
		"2": {client.WithCallID("order-7"), client.Idempotent()},
	} {
		t.Run("version "+version, func(t *testing.T) { noInvocationIsToldOfAnother(t, "warren/"+version, opts) })
	}
}

func noInvocationIsToldOfAnother(t *testing.T, version string, opts []client.CallOption) {
	t.Helper()
	for name, late := range map[string]func(req *wire.Request) amqp.Publishing{
		"reply": func(req *wire.Request) amqp.Publishing {
			return wire.EncodeReply(req, &warren.Reply{Body: []byte("late")}, wire.Transient, wire.DefaultLimits())
		},
		"stored reply": func(req *wire.Request) amqp.Publishing {
			return wire.EncodeReply(req, &warren.Reply{Body: []byte("late"), Replayed: true}, wire.Transient, wire.DefaultLimits())
		},
		"error": func(req *wire.Request) amqp.Publishing {
			return wire.EncodeError(req, refusal(), wire.Transient)
		},
		"no reply": func(req *wire.Request) amqp.Publishing {
			meta := wire.Meta{Version: req.Version, Kind: wire.KindCall, Nonce: req.Nonce}
			return amqp.Publishing{CorrelationId: req.CallID, Type: meta.Encode()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				p, arrived := plainServer(r, "pay")
				c := r.Ready(wait)
				ctx, giveUp := context.WithCancel(r.T.Context())
				given := c.Go(ctx, "pay", nil, opts...)
				first := <-arrived
				giveUp()
				_, err := given.Result()
				rig.WantError(r.T, err, warren.CodeCanceled, "", warren.Unknown)
				again := c.Go(r.T.Context(), "pay", nil, opts...)
				second := <-arrived
				if nonceOf(first.Type) == "" || nonceOf(first.Type) == nonceOf(second.Type) || !strings.HasPrefix(second.Type, version) {
					r.T.Errorf("sent as %s and %s", first.Type, second.Type)
				}
				p.Publish(first.ReplyTo, late(requestOf(r.T, first)))
				p.Publish(second.ReplyTo, wire.EncodeReply(requestOf(r.T, second), &warren.Reply{Body: []byte("in time")}, wire.Transient, wire.DefaultLimits()))
				reply, err := again.Result()
				if err != nil || string(reply.Body) != "in time" {
					r.T.Fatalf("%v, %v", reply, err)
				}
				if st := c.Stats(); st.LateReplies != 1 || st.Attempts != 2 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestCallMadeAgainAtOnceIsAnsweredByItsOwnReply(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(server.Method{Name: "echo", Concurrency: 8}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			time.Sleep(time.Millisecond)
			return &warren.Reply{Body: req.Body}, nil
		})
		c := r.Ready()
		for i := range 100 {
			ctx, giveUp := context.WithCancel(r.T.Context())
			given := c.Go(ctx, "echo", []byte("first"), client.WithCallID("k"))
			synctest.Wait()
			giveUp()
			_, _ = given.Result()
			if reply := mustCall(r, c, "echo", "second", client.WithCallID("k")); string(reply.Body) != "second" {
				r.T.Fatalf("call %d was answered %q", i, reply.Body)
			}
		}
	})
}

// An older server repeats the instant and no nonce; one that repeats neither says
// nothing of this invocation. What a plain server sends has only the ID.
func TestReplyWithoutANonceCountsByTheInstant(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p, arrived := plainServer(r, "old")
		c := r.Ready(wait)
		for name, typ := range map[string]func(issued string) string{
			"instant": func(issued string) string { return "warren/1;k=reply;n=1;t=" + issued },
			"plain":   func(string) string { return "" },
		} {
			call := c.Go(r.T.Context(), "old", nil, client.WithCallID(name))
			req := <-arrived
			_, issued, _ := strings.Cut(withoutNonce(req.Type), ";t=")
			for _, foreign := range []string{
				"warren/1;k=reply;n=1", "warren/1;k=reply;n=1;t=1", "warren/1;k=reply;n=1;x=0", "warren/1;k=reply;n=1;t=" + issued + ";x=0",
				"warren/1;k=reply;n=1;t=1;x=0;c=unavailable;o=not_executed",
			} {
				p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: req.CorrelationId, Type: foreign, Body: []byte("foreign")})
			}
			p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: req.CorrelationId, Type: typ(issued), Body: []byte("own")})
			if reply, err := call.Result(); err != nil || string(reply.Body) != "own" {
				r.T.Errorf("%s: %v, %v", name, reply, err)
			}
		}
		if st := c.Stats(); st.LateReplies != 10 {
			r.T.Errorf("%+v", st)
		}
	})
}
