package client_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestCallThatKeepsWaitingOutlivesItsContextUntilItsEnd(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		for _, answered := range []bool{true, false} {
			ctx, cancel := context.WithCancel(r.T.Context())
			began := time.Now()
			f := c.Go(ctx, "gate", []byte("x"), client.KeepWaiting(), client.WithTimeout(9*time.Second))
			<-g.Entered
			cancel()
			time.Sleep(5 * time.Second)
			if st := c.Stats(); st.Pending != 1 {
				r.T.Fatalf("the call has ended with its context: %+v", st)
			}
			if answered {
				g.Release <- struct{}{}
				if reply, err := f.Result(); err != nil || string(reply.Body) != "x" {
					r.T.Errorf("%v, %v", reply, err)
				}
				continue
			}
			if _, err := f.Result(); warren.CodeOf(err) != warren.CodeDeadlineExceeded {
				r.T.Error(err)
			}
			rig.Took(r.T, began, 9*time.Second)
		}
		close(g.Release)
	})
}

// Nothing is under way that could be counted.
func TestCallThatKeepsWaitingIsGivenUpWhileNothingOfItIsSent(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Client(wait)
		ctx, cancel := context.WithCancel(r.T.Context())
		f := c.Go(ctx, "m", nil, client.KeepWaiting())
		synctest.Wait()
		began := time.Now()
		cancel()
		_, err := f.Result()
		if e, ok := warren.AsError(err); !ok || e.Code != warren.CodeCanceled || e.Outcome != warren.NotExecuted {
			r.T.Error(err)
		}
		rig.Took(r.T, began, 0)
	}, amqptest.Rule{When: amqptest.When{Method: "connection.open"}, Times: amqptest.Always, Do: amqptest.Drop()})
}

func TestBoundsOfOneCallReplaceTheClients(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer(func(cfg *server.Config) { cfg.MaxRequest, cfg.MaxReply = 1000, 1000 })
		if err := s.HandleRaw(rig.Named("echo"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		c := r.Client(func(cfg *client.Config) { cfg.MaxRequest, cfg.MaxReply = 10, 10 })
		body := []byte(strings.Repeat("x", 100))
		for _, tt := range []struct {
			request, reply int
			reason         string
			outcome        warren.Outcome
		}{
			{0, 0, warren.ReasonRequestTooLarge, warren.NotExecuted}, {99, 100, warren.ReasonRequestTooLarge, warren.NotExecuted},
			{100, 0, warren.ReasonReplyTooLarge, warren.Executed}, {100, 99, warren.ReasonReplyTooLarge, warren.Executed},
			{100, 100, "", 0},
		} {
			_, err := c.Call(r.T.Context(), "echo", body, client.WithMaxRequest(tt.request), client.WithMaxReply(tt.reply))
			e, failed := warren.AsError(err)
			if failed != (tt.reason != "") || failed && (e.Reason != tt.reason || e.Outcome != tt.outcome) {
				r.T.Errorf("%+v: %v", tt, err)
			}
		}
	})
}
