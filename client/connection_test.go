package client_test

import (
	"context"
	"errors"
	"fmt"
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

func TestReadyWaitsForTheConnectionsAndTheReplyQueue(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Broker.Stop()
		c := r.Client()
		time.AfterFunc(time.Minute, r.Broker.Resume)
		ctx, cancel := context.WithTimeout(r.T.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		err := c.Ready(ctx)
		e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNotConnected, warren.NotExecuted)
		rig.Took(r.T, began, 30*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(e.Message, "the broker is down") {
			r.T.Errorf("error is %+v", e)
		}
		if err := c.Ready(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		// The pauses between attempts are of two seconds at most.
		if took := time.Since(began); took < time.Minute || took > 62*time.Second {
			r.T.Errorf("ready after %v", took)
		}
		if q := r.Queue(replyQueue(r)); q.Consumers != 1 || len(r.Broker.Connections()) != 2 {
			r.T.Errorf("%+v", q)
		}
	})
}

func TestReadyFailsAtOnceIfTheBrokerRefuses(t *testing.T) {
	for name, url := range map[string]func(b *amqptest.Broker) string{
		"the credentials":  func(b *amqptest.Broker) string { return b.URLAs("guest", "s3cret", "/") },
		"the virtual host": func(b *amqptest.Broker) string { return b.URLAs("guest", "guest", "nowhere") },
		"the reply queue":  func(b *amqptest.Broker) string { return b.URLAs("meek", "s3cret", "/") },
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				if err := r.Broker.AddUser("meek", amqptest.User{Password: "s3cret", Read: ".*", Write: ".*"}); err != nil {
					r.T.Fatal(err)
				}
				c := r.Client(func(cfg *client.Config) { cfg.Broker.URLs[0] = url(r.Broker) })
				began := time.Now()
				err := c.Ready(r.T.Context())
				e := rig.WantError(r.T, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
				rig.Took(r.T, began, 0)
				if text := fmt.Sprintf("%+v %v", e, e.Cause); strings.Contains(text, "s3cret") {
					r.T.Errorf("the password is told: %s", text)
				}
				// It goes on trying: somebody may put it right.
				if err := r.Broker.AddUser("meek", amqptest.User{Password: "s3cret"}); err != nil {
					r.T.Fatal(err)
				}
				if err := r.Broker.AddUser("guest", amqptest.User{Password: "s3cret"}); err != nil {
					r.T.Fatal(err)
				}
				if name == "the credentials" {
					time.Sleep(5 * time.Second)
					if err := c.Ready(r.T.Context()); err != nil {
						r.T.Error(err)
					}
				}
			})
		})
	}
}

func TestSeveralAddressesAreTriedInTurn(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Client(func(cfg *client.Config) {
			good := cfg.Broker.URLs[0]
			cfg.Broker.URLs = []string{r.Broker.URLAs("nobody", "x", "/"), good, r.Broker.URLAs("nobody", "y", "/")}
		})
		ctx, cancel := context.WithTimeout(r.T.Context(), time.Minute)
		defer cancel()
		if err := c.Ready(ctx); err != nil {
			r.T.Error(err)
		}
	})
}

func TestBlockedBrokerRefusesCallsAndStillDeliversReplies(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		// The reply is with the broker when publishers are blocked.
		hold := make(chan struct{})
		held := r.Broker.Inject(amqptest.Rule{
			When: amqptest.When{Method: "basic.deliver", Queue: "warren:*"}, Do: amqptest.Do(func(*amqptest.Event) { <-hold }),
		})
		waiting := c.Go(r.T.Context(), "echo", []byte("x"))
		if err := held.Wait(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		r.Broker.Block("low on disk")
		// The client is told when it publishes: this one is in the socket.
		told := c.Go(r.T.Context(), "echo", nil)
		synctest.Wait()
		began := time.Now()
		_, err := c.Call(r.T.Context(), "echo", nil)
		e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonBlocked, warren.NotExecuted)
		if !strings.Contains(e.Message, "low on disk") || e.Attempts != 0 {
			r.T.Errorf("error is %+v", e)
		}
		err = c.Notify(r.T.Context(), "echo", nil)
		rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonBlocked, warren.NotExecuted)
		close(hold)
		if _, err := waiting.Result(); err != nil {
			r.T.Error(err)
		}
		rig.Took(r.T, began, 0)
		r.Broker.Unblock()
		if _, err := told.Result(); err != nil {
			r.T.Error(err)
		}
		synctest.Wait()
		mustCall(r, c, "echo", "again")
		if st := c.Stats(); st.Reconnects != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}

// An alarm is of a connection: without one it is over, whatever comes next.
func TestBrokerThatDiesWhileItBlocksIsNotConnected(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		r.Broker.Block("low on disk")
		told := c.Go(r.T.Context(), "echo", nil) // the client is told when it publishes
		synctest.Wait()
		_, err := c.Call(r.T.Context(), "echo", nil)
		rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonBlocked, warren.NotExecuted)
		r.Broker.Stop()
		_, _ = told.Result()
		_, err = c.Call(r.T.Context(), "echo", nil, client.WithTimeout(time.Second))
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, warren.ReasonNotConnected, warren.NotExecuted)
		r.Broker.Unblock()
		r.Broker.Resume()
		mustCall(r, c, "echo", "again", client.WithTimeout(time.Minute), client.WaitForServer())
	})
}

func TestDeadPeerIsNoticedAfterOneAndAHalfHeartbeats(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready(wait, func(cfg *client.Config) { cfg.Broker.Heartbeat = 4 * time.Second })
		r.Broker.Inject(amqptest.Rule{When: publishesTo("echo"), Do: amqptest.HalfOpen()})
		began := time.Now()
		mustCall(r, c, "echo", "x", client.WithTimeout(time.Minute), client.Idempotent())
		if took := time.Since(began); took > 7*time.Second {
			r.T.Errorf("it took %v", took)
		}
	})
}

func TestStatsCountWhatHappened(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("echo"), rig.Echo)
		r.Serve(server.Method{Name: "gate", Concurrency: 1}, g.Handle)
		c := r.Ready()
		if st := c.Stats(); st != (client.Stats{}) {
			r.T.Errorf("at first: %+v", st)
		}
		mustCall(r, c, "echo", "x")
		_ = c.Notify(r.T.Context(), "echo", nil)
		_ = c.Notify(r.T.Context(), "nobody.home", nil)
		one := c.Go(r.T.Context(), "gate", []byte("body"), client.WithCallID("k"))
		<-g.Entered
		two := c.Go(r.T.Context(), "gate", []byte("body"), client.WithCallID("k"))
		synctest.Wait()
		if st, want := c.Stats(), (client.Stats{Calls: 5, Attempts: 4, Replies: 1, Returned: 1, Joined: 1, Pending: 1, PendingBytes: 4}); st != want {
			r.T.Errorf("in the middle: %+v; want %+v", st, want)
		}
		close(g.Release)
		_, _ = one.Result()
		_, _ = two.Result()
		time.Sleep(time.Second) // the replies are acknowledged soon
		r.Broker.Sever()
		time.Sleep(time.Second)
		if st, want := c.Stats(), (client.Stats{Calls: 5, Attempts: 4, Replies: 2, Returned: 1, Joined: 1, Reconnects: 2}); st != want {
			r.T.Errorf("in the end: %+v; want %+v", st, want)
		}
	})
}
