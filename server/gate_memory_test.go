package server_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// How often the handler of a call that is made twice runs, by how it ends.
func TestEndsThatAreRememberedAreReplayedAndNoOthers(t *testing.T) {
	later := func(code warren.Code) error { return warren.Errorf(code, "later") }
	retry := warren.Errorf(warren.CodeNotFound, "not yet")
	retry.RetryAfter = time.Second
	for name, c := range map[string]struct {
		end        func() (*warren.Reply, error)
		told       string
		remembered bool
	}{
		"success":            {func() (*warren.Reply, error) { return &warren.Reply{Body: []byte("r")}, nil }, "r", true},
		"no reply":           {func() (*warren.Reply, error) { return nil, nil }, "", true},
		"not found":          {func() (*warren.Reply, error) { return nil, later(warren.CodeNotFound) }, "not_found/, executed", true},
		"internal":           {func() (*warren.Reply, error) { return nil, later(warren.CodeInternal) }, "internal/, executed", true},
		"any error":          {func() (*warren.Reply, error) { return nil, errors.New("x") }, "unknown/, executed", true},
		"panic":              {func() (*warren.Reply, error) { panic("x") }, "internal/panic, executed", true},
		"end of goroutine":   {func() (*warren.Reply, error) { runtime.Goexit(); return nil, nil }, "internal/panic, executed", true},
		"too large":          {func() (*warren.Reply, error) { return &warren.Reply{Body: make([]byte, 2<<20)}, nil }, "resource_exhausted/reply_too_large, executed", true},
		"unavailable":        {func() (*warren.Reply, error) { return nil, later(warren.CodeUnavailable) }, "unavailable/, executed", false},
		"resource exhausted": {func() (*warren.Reply, error) { return nil, later(warren.CodeResourceExhausted) }, "resource_exhausted/, executed", false},
		"aborted":            {func() (*warren.Reply, error) { return nil, later(warren.CodeAborted) }, "aborted/, executed", false},
		"deadline exceeded":  {func() (*warren.Reply, error) { return nil, context.DeadlineExceeded }, "deadline_exceeded/, executed", false},
		"canceled":           {func() (*warren.Reply, error) { return nil, context.Canceled }, "canceled/, executed", false},
		"retry after":        {func() (*warren.Reply, error) { return nil, retry }, "not_found/, executed, later", false},
	} {
		t.Run(name, func(t *testing.T) {
			inEachMode(t, func(r *rig.Rig, mode server.Mode) {
				st := alone(r, memstore.Options{})
				var runs atomic.Int32
				serve(r, st, in(mode), func(context.Context, *warren.Request) (*warren.Reply, error) {
					runs.Add(1)
					return c.end()
				})
				first, times, state := c.told, int32(2), store.Interrupted
				if mode == server.Transactional && !c.remembered {
					first, state = strings.Replace(c.told, "executed", "not_executed", 1), store.Absent
				}
				want(r, "at first", ask(r, "k", "x"), first)
				expected := first
				if c.remembered || mode == server.AtMostOnce {
					expected, times, state = c.told+", replayed", 1, store.Completed
					if len(c.told) > 1 {
						state = store.Failed
						if name == "retry after" {
							expected = "not_found/, executed, replayed, later"
						}
					}
				}
				want(r, "then", ask(r, "k", "x"), expected)
				rec := recordOf(r, st, "k")
				if runs.Load() != times || rec.State != state {
					r.T.Errorf("%d runs, %+v", runs.Load(), rec)
				}
				if state.Ended() != (rec.Attempts == 1) {
					r.T.Errorf("%d attempts that did not end", rec.Attempts)
				}
				// In a transaction nothing is left of what did not succeed.
				value, err := st.Value(r.T.Context(), "runs")
				if effect := mode == server.Transactional && state == store.Completed; err != nil || (len(value) == 1) != effect {
					r.T.Errorf("the effect is %q, %v", value, err)
				}
			})
		})
	}
}

// strict refuses its requests, by the word.
type strict struct{ Word string }

func (s strict) Validate() error {
	if s.Word == "bad" {
		return errors.New("bad word")
	}
	return nil
}

func TestWhatIsRefusedBeforeTheRecordIsNotRemembered(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		s := r.NewServer(stored(st))
		var closed atomic.Bool
		m := in(server.AtMostOnce)
		m.Interceptors = []warren.Interceptor{func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				if closed.Load() {
					return nil, warren.Errorf(warren.CodePermissionDenied, "closed")
				}
				return next(ctx, req)
			}
		}}
		if err := server.Handle(s, m, func(_ context.Context, w strict) (string, error) { return w.Word, nil }); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		p := r.Peer()
		publish := func(change func(*amqp.Publishing)) string {
			r.T.Helper()
			msg := raw(p, "k", `{"Word":"good"}`)
			if change != nil {
				change(&msg)
			}
			p.Publish("m", msg)
			return toldRaw(r, p.Next())
		}
		want(r, "validation", publish(func(p *amqp.Publishing) { p.Body = []byte(`{"Word":"bad"}`) }), "invalid_argument/invalid, not_executed")
		want(r, "codec", publish(func(p *amqp.Publishing) { p.Body = []byte(`{`) }), "invalid_argument/malformed_body, not_executed")
		want(r, "media", publish(func(p *amqp.Publishing) { p.ContentType = "text/html" }), "invalid_argument/unsupported_media, not_executed")
		want(r, "too large", publish(func(p *amqp.Publishing) { p.Body = make([]byte, 1<<20+1) }), "resource_exhausted/request_too_large, not_executed")
		closed.Store(true)
		if got := publish(nil); got != "permission_denied/, executed" && got != "permission_denied/, not_executed" {
			r.T.Errorf("interceptor: %q", got)
		}
		closed.Store(false)
		if rec := recordOf(r, st, "k"); rec.State != store.Absent || s.Stats().Claims != 0 {
			r.T.Errorf("%+v", rec)
		}
		want(r, "good", publish(nil), `"good"`)
		// What is refused is so whatever is remembered of the call.
		closed.Store(true)
		if got := publish(nil); got != "permission_denied/, executed" && got != "permission_denied/, not_executed" {
			r.T.Errorf("interceptor, after the call: %q", got)
		}
		closed.Store(false)
		want(r, "replay", publish(nil), `"good", replayed`)
	})
}

func TestReplyThatTheStoreDoesNotKeepIsToldAsExecuted(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var runs atomic.Int32
		serve(r, alone(r, memstore.Options{MaxPayload: -1}), in(mode), counting(&runs))
		want(r, "at first", ask(r, "k", "x"), "1")
		want(r, "then", ask(r, "k", "x"), "data_loss/reply_not_retained, executed, replayed")
		if runs.Load() != 1 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestNotificationsAreRunOnceToo(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var runs atomic.Int32
		s := serve(r, alone(r, memstore.Options{}), in(mode), counting(&runs))
		p := r.Peer()
		for range 3 {
			msg := raw(p, "k", "x")
			msg.ReplyTo = ""
			p.Publish("m", msg)
		}
		patience.Eventually(r.T, "all are acknowledged", func() bool { return s.Stats().Requests == 3 && r.Queue("m").Unacked == 0 })
		if runs.Load() != 1 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestNotificationIsNotLostWhileTheStoreIsAway(t *testing.T) {
	for _, op := range []string{"get", "claim"} {
		t.Run(op, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				st := alone(r, memstore.Options{})
				st.fail(op, times(20, outage), nil)
				var runs atomic.Int32
				s := serve(r, st, lookingAt(op, in(server.AtLeastOnce)), counting(&runs))
				if err := r.Client().Notify(r.T.Context(), "m", []byte("x")); err != nil {
					r.T.Fatal(err)
				}
				patience.Eventually(r.T, "it is at work", func() bool { return s.Stats().StoreErrors > 2 })
				if q := r.Queue("m"); q.Unacked != 1 || runs.Load() != 0 {
					r.T.Errorf("%d runs, %+v", runs.Load(), q)
				}
				time.Sleep(time.Minute)
				if q := r.Queue("m"); q.Ready+q.Unacked != 0 || runs.Load() != 1 {
					r.T.Errorf("%d runs, %+v", runs.Load(), q)
				}
			})
		})
	}
}

func TestNotificationStaysInTheQueueIfTheStoreIsGone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		var runs atomic.Int32
		s := mortal(r, st, in(server.AtLeastOnce), counting(&runs))
		_ = st.Close()
		if err := r.Client().Notify(r.T.Context(), "m", []byte("x")); err != nil {
			r.T.Fatal(err)
		}
		want(r, "a call", ask(r, "k", "x"), "unavailable/store_unavailable, not_executed, later")
		if err := stopWithin(r, s, 5*time.Second); err != nil {
			r.T.Error(err)
		}
		if q := r.Queue("m"); q.Ready != 1 || runs.Load() != 0 {
			r.T.Errorf("%d runs, %+v", runs.Load(), q)
		}
	})
}

func TestRetentionEndsTheMemory(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var runs atomic.Int32
		m := in(mode)
		m.Dedupe.Retention = time.Hour
		serve(r, alone(r, memstore.Options{}), m, counting(&runs))
		for i, after := range []time.Duration{0, 59 * time.Minute, 2 * time.Minute} {
			time.Sleep(after)
			want(r, fmt.Sprint(i), ask(r, "k", "x"), []string{"1", "1, replayed", "2"}[i])
		}
	})
}
