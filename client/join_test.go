package client_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rig"
)

func TestSecondCallOfTheSameIDJoinsTheFirst(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		opts := []client.CallOption{client.WithCallID("k"), client.WithHeader("h", "v")}
		first := c.Go(r.T.Context(), "gate", []byte("x"), opts...)
		<-g.Entered
		second := c.Go(r.T.Context(), "gate", []byte("x"), opts...)
		synctest.Wait()
		if st := c.Stats(); st.Joined != 1 || st.Pending != 1 || st.PendingBytes != 1 || st.Calls != 2 {
			r.T.Errorf("%+v", st)
		}
		close(g.Release)
		for _, f := range []*client.Future{first, second} {
			if reply, err := f.Result(); err != nil || string(reply.Body) != "x" {
				r.T.Errorf("%v, %v", reply, err)
			}
		}
		if g.Runs.Load() != 1 {
			r.T.Errorf("the handler ran %d times", g.Runs.Load())
		}
		// Once it has ended its ID names another call.
		mustCall(r, c, "gate", "y", opts...)
	})
}

// A request that is made again bears a span of its own, and is the same call.
func TestSecondCallJoinsWhateverItsTraceContext(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		traced := func(span string) []client.CallOption {
			return []client.CallOption{
				client.WithCallID("k"), client.WithHeader("h", "v"), client.WithHeader("Tracestate", "s="+span), client.WithHeader("baggage", "b="+span),
				client.WithHeader("traceparent", "00-0af7651916cd43dd8448eb211c80319c-"+span+"-01"),
			}
		}
		first := c.Go(r.T.Context(), "gate", []byte("x"), traced("b7ad6b7169203331")...)
		<-g.Entered
		second := c.Go(r.T.Context(), "gate", []byte("x"), traced("00f067aa0ba902b7")...)
		synctest.Wait()
		close(g.Release)
		for _, f := range []*client.Future{first, second} {
			if _, err := f.Result(); err != nil {
				r.T.Error(err)
			}
		}
		if st := c.Stats(); st.Joined != 1 || g.Runs.Load() != 1 {
			r.T.Errorf("the handler ran %d times; %+v", g.Runs.Load(), st)
		}
	})
}

func TestSecondCallOfTheSameIDAndAnotherRequestIsRefused(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		r.Serve(rig.Named("other"), g.Handle)
		c := r.Client()
		id := client.WithCallID("k")
		first := c.Go(r.T.Context(), "gate", []byte("x"), id)
		<-g.Entered
		for name, call := range map[string]func() (*warren.Reply, error){
			"body":   func() (*warren.Reply, error) { return c.Call(r.T.Context(), "gate", []byte("y"), id) },
			"method": func() (*warren.Reply, error) { return c.Call(r.T.Context(), "other", []byte("x"), id) },
			"header": func() (*warren.Reply, error) {
				return c.Call(r.T.Context(), "gate", []byte("x"), id, client.WithHeader("h", "v"))
			},
			"content encoding": func() (*warren.Reply, error) {
				return c.Call(r.T.Context(), "gate", []byte("x"), id, client.WithContentEncoding("gzip"))
			},
			"content type": func() (*warren.Reply, error) {
				return c.Call(r.T.Context(), "gate", []byte("x"), id, client.WithContentType("a/b"))
			},
		} {
			_, err := call()
			e, _ := warren.AsError(err)
			if e == nil || e.Code != warren.CodeAlreadyExists || e.Reason != warren.ReasonKeyReused || e.Outcome != warren.NotExecuted {
				r.T.Errorf("another %s: %v", name, err)
			}
		}
		close(g.Release)
		if _, err := first.Result(); err != nil {
			r.T.Error(err)
		}
		if g.Runs.Load() != 1 {
			r.T.Errorf("the handler ran %d times", g.Runs.Load())
		}
	})
}

func TestJoinedCallersEndEachByTheirOwnContext(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		id := client.WithCallID("k")
		began := time.Now()
		first := c.Go(r.T.Context(), "gate", nil, id, client.WithTimeout(5*time.Second))
		<-g.Entered
		cause := errors.New("changed my mind")
		ctx, cancel := context.WithCancelCause(r.T.Context())
		second := c.Go(ctx, "gate", nil, id)
		synctest.Wait()
		cancel(cause)
		_, err := second.Result()
		e := rig.WantError(r.T, err, warren.CodeCanceled, "", warren.Unknown)
		if !errors.Is(err, cause) || e.Attempts != 1 || e.CallID != "k" {
			r.T.Errorf("error is %+v", e)
		}
		rig.Took(r.T, began, 0)
		// The other's deadline is its own. It is what the server was told.
		third := c.Go(r.T.Context(), "gate", nil, id, client.WithTimeout(2*time.Second))
		_, err = third.Result()
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		rig.Took(r.T, began, 2*time.Second)
		if st := c.Stats(); st.Pending != 1 || st.Joined != 2 {
			r.T.Errorf("%+v", st)
		}
		close(g.Release)
		if _, err := first.Result(); err != nil {
			r.T.Error(err)
		}
	})
}

// The one who made the call has its body back once it is known what came of it; what
// others are told later does not come from there.
func TestJoinedCallersAreToldOfTheirOwnBody(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		release := make(chan struct{})
		r.Serve(rig.Named("m"), func(context.Context, *warren.Request) (*warren.Reply, error) {
			<-release
			return nil, warren.Errorf(warren.CodeNotFound, "no such thing")
		})
		c := r.Ready()
		var holds atomic.Bool
		held := make(chan struct{})
		client.OnLock(c, func() {
			if holds.CompareAndSwap(true, false) {
				<-held
			}
		})
		body := []byte("body")
		id, want := client.WithCallID("k"), warren.ProofOf("", "", body)
		first := make(chan error)
		go func() {
			_, err := c.Call(r.T.Context(), "m", body, id)
			copy(body, "else")
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(r.T.Context())
		second := c.Go(ctx, "m", []byte("body"), id)
		third := c.Go(r.T.Context(), "m", []byte("body"), id)
		synctest.Wait()
		holds.Store(true)
		cancel() // the second is about to leave
		synctest.Wait()
		close(release)
		errs := []error{<-first, nil, nil}
		close(held)
		_, errs[1] = second.Result()
		_, errs[2] = third.Result()
		for i, err := range errs {
			e := rig.WantError(r.T, err, warren.CodeNotFound, "", warren.Executed)
			if e.Proof != want || e.CallID != "k" || !e.Issued.Equal(time.Now()) {
				r.T.Errorf("caller %d is told %+v", i+1, e)
			}
		}
		if st := c.Stats(); st.Joined != 2 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestJoinedCallersKeepWaitingEachByTheirOwnOption(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		id := client.WithCallID("k")
		first := c.Go(r.T.Context(), "gate", nil, id)
		<-g.Entered
		ctx, cancel := context.WithCancel(r.T.Context())
		keeps := c.Go(ctx, "gate", nil, id, client.KeepWaiting())
		leaves := c.Go(ctx, "gate", nil, id)
		synctest.Wait()
		cancel()
		_, err := leaves.Result()
		rig.WantError(r.T, err, warren.CodeCanceled, "", warren.Unknown)
		close(g.Release)
		for _, f := range []*client.Future{first, keeps} {
			if _, err := f.Result(); err != nil {
				r.T.Error(err)
			}
		}
	})
}

func TestNotificationsDoNotJoin(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		id := client.WithCallID("k")
		call := c.Go(r.T.Context(), "gate", nil, id)
		<-g.Entered
		if err := c.Notify(r.T.Context(), "gate", []byte("another"), id); err != nil {
			r.T.Error(err)
		}
		close(g.Release)
		if _, err := call.Result(); err != nil {
			r.T.Error(err)
		}
		synctest.Wait()
		if st := c.Stats(); g.Runs.Load() != 2 || st.Joined != 0 {
			r.T.Errorf("the handler ran %d times; %+v", g.Runs.Load(), st)
		}
	})
}
