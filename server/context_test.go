package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
)

func withDeadline(parent context.Context, deadline time.Time) *requestContext {
	return newRequestContext(parent, &warren.Request{Deadline: deadline})
}

func TestRequestContextIsAContextWithADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		deadline := time.Now().Add(time.Second)
		quiet, waited := withDeadline(parent, deadline), withDeadline(parent, deadline)
		child, cancelChild := context.WithCancel(waited)
		defer cancelChild()
		if d, ok := quiet.Deadline(); !ok || !d.Equal(deadline) {
			t.Errorf("deadline %v, %v", d, ok)
		}
		if quiet.Err() != nil || waited.Err() != nil {
			t.Error("ended before its deadline")
		}
		<-child.Done()
		if !time.Now().Equal(deadline) {
			t.Errorf("a child ended at %v", time.Since(deadline))
		}
		synctest.Wait() // each has a timer of its own
		for _, c := range []context.Context{quiet, waited, child} {
			if !errors.Is(c.Err(), context.DeadlineExceeded) {
				t.Errorf("error is %v", c.Err())
			}
		}
		<-quiet.Done()
	})
}

func TestRequestContextEndsWithItsParentAndItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("why")
		parent, cancel := context.WithCancelCause(context.Background())
		quiet, waited := withDeadline(parent, time.Now().Add(time.Hour)), withDeadline(parent, time.Now().Add(time.Hour))
		waited.Done()
		released := withDeadline(parent, time.Now().Add(time.Hour))
		released.release()
		<-released.Done()
		if !errors.Is(released.Err(), context.Canceled) || waited.Err() != nil {
			t.Errorf("released %v, waited %v", released.Err(), waited.Err())
		}
		cancel(cause)
		for _, c := range []context.Context{quiet, waited} {
			if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), cause) {
				t.Errorf("error is %v, cause %v", c.Err(), context.Cause(c))
			}
			<-c.Done()
			if !errors.Is(context.Cause(c), cause) {
				t.Errorf("cause is %v", context.Cause(c))
			}
		}
		waited.release()
		quiet.release()
	})
}
