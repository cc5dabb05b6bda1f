package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

var (
	full    = &store.FullError{Size: 9, Limit: 10, RetryAfter: 7 * time.Second}
	corrupt = &store.CorruptError{Path: "f", Detail: "d", Repair: "r"}
)

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// lookingAt makes a method with records look at those of new calls, too, if that is
// the operation that matters.
func lookingAt(op string, m server.Method) server.Method {
	if op == "get" {
		m.Interceptors = append(m.Interceptors, func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				req.Attempt++ // as if it were made again
				defer func() { req.Attempt-- }()
				return next(ctx, req)
			}
		})
	}
	return m
}

func TestCallIsNotBegunWhileTheStoreFails(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		told string
	}{
		"unavailable": {outage, "unavailable/store_unavailable, not_executed, later"},
		"full":        {full, "resource_exhausted/store_full, not_executed, later"},
		"corrupt":     {corrupt, "unavailable/store_unavailable, not_executed, later"},
		"closed":      {store.ErrClosed, "unavailable/store_unavailable, not_executed, later"},
	} {
		for _, op := range []string{"get", "claim"} {
			t.Run(name+", "+op, func(t *testing.T) {
				inEachMode(t, func(r *rig.Rig, mode server.Mode) {
					st := alone(r, memstore.Options{})
					failures := int32(2)
					if op == "claim" {
						failures = 4 // it is claimed without a look, and again after one
					}
					st.fail(op, times(failures, c.err), nil)
					var runs atomic.Int32
					s := serve(r, st, lookingAt(op, in(mode)), counting(&runs))
					want(r, "at first", ask(r, "k", "x"), c.told)
					want(r, "again", ask(r, "k", "x"), c.told)
					want(r, "at last", ask(r, "k", "x"), "1")
					if st := s.Stats(); runs.Load() != 1 || st.StoreErrors != 2 || st.Claims != 1 {
						r.T.Errorf("%d runs, %+v", runs.Load(), st)
					}
				})
			})
		}
	}
}

// A claim that was made although it failed is of nobody: it must not hold the call.
func TestClaimThatFailedAndWasMadeIsGivenUp(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		m := lookingAt("get", in(mode))
		m.Dedupe.Lease = 5 * time.Minute // it does not end by itself in time
		st := alone(r, memstore.Options{})
		st.fail("claim", nil, times(1, outage))
		var runs atomic.Int32
		serve(r, st, m, counting(&runs))
		want(r, "at first", ask(r, "k", "x"), "unavailable/store_unavailable, not_executed, later")
		st.fail("abandon", times(1, outage), nil)
		want(r, "while it cannot be given up", ask(r, "k", "x"), "unavailable/store_unavailable, not_executed, later")
		want(r, "then", ask(r, "k", "x"), "1")
		if runs.Load() != 1 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

// A database whose disk is full fails a whole batch: also a claim of what has a record.
func TestFullStoreSaysNothingOfTheRecord(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		var runs atomic.Int32
		serve(r, st, in(mode), counting(&runs))
		want(r, "first", ask(r, "k", "x"), "1")
		st.fail("claim", times(1, full), nil)
		want(r, "again", ask(r, "k", "x"), "1, replayed")
	})
}

// As when the store's clock steps, or somebody deletes records.
func TestCallWhoseRecordIsForgottenUnderItIsBegunAtMostOnce(t *testing.T) {
	for name, c := range map[string]struct{ body, told string }{
		"returns": {"x", "aborted/interrupted, unknown"},
		"fails":   {"fail", "aborted/interrupted, unknown"},
		"panics":  {"panic", "internal/panic, executed"},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				st := alone(r, memstore.Options{})
				var runs atomic.Int32
				serve(r, st, in(server.AtMostOnce), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
					runs.Add(1)
					key := store.Scope{Method: "m", CallID: "k"}.Key()
					if err := st.Abandon(ctx, key, recordOf(r, st, "k").Token, store.Undone); err != nil {
						r.T.Error(err)
					}
					switch string(req.Body) {
					case "fail":
						return nil, warren.Errorf(warren.CodeUnavailable, "later")
					case "panic":
						panic("x")
					}
					return &warren.Reply{Body: req.Body}, nil
				})
				want(r, "told", ask(r, "k", c.body), c.told)
				if runs.Load() != 1 {
					r.T.Errorf("%d runs", runs.Load())
				}
			})
		})
	}
}

// An interceptor that calls the handler again finds that its record is gone.
func TestRepetitionByAnInterceptorWithoutARecordIsNotBegun(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		m := in(server.AtMostOnce)
		m.Dedupe.Retention = time.Minute
		m.Interceptors = append(m.Interceptors, func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				_, _ = next(ctx, req)
				time.Sleep(5 * time.Minute)
				return next(ctx, req)
			}
		})
		var runs atomic.Int32
		serve(r, st, m, counting(&runs))
		p := r.Peer()
		plain := raw(p, "k", "x")
		plain.Type = "" // without the time at which it was made
		p.Publish("m", plain)
		time.Sleep(10 * time.Minute)
		if runs.Load() != 1 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestCompletionThatCannotBeWrittenIsNeitherToldNorAcknowledged(t *testing.T) {
	for name, failure := range map[string]error{"unavailable": outage, "full": full} {
		t.Run(name, func(t *testing.T) {
			inEachMode(t, func(r *rig.Rig, mode server.Mode) {
				st := alone(r, memstore.Options{})
				var down atomic.Bool
				down.Store(true)
				failing := func(context.Context) error {
					if down.Load() {
						return failure
					}
					return nil
				}
				st.fail("complete", failing, nil)
				st.fail("transact", nil, nil)
				var runs atomic.Int32
				s := serve(r, st, in(mode), counting(&runs))
				if mode == server.Transactional {
					// A transaction that does not commit: it runs, and is rolled back.
					st.fail("transact", func(ctx context.Context) error { return failing(ctx) }, nil)
				}
				call := asking(r, "k", "x")
				time.Sleep(30 * time.Second)
				if mode == server.Transactional {
					want(r, "not begun", <-call, map[string]string{
						"unavailable": "unavailable/store_unavailable, not_executed, later", "full": "resource_exhausted/store_full, not_executed, later",
					}[name])
					return
				}
				select {
				case end := <-call:
					r.T.Fatalf("told: %q", end)
				default:
				}
				if q := r.Queue("m"); q.Unacked != 1 || runs.Load() != 1 || s.Stats().StoreErrors < 10 {
					r.T.Errorf("%d runs, %+v, %+v", runs.Load(), q, s.Stats())
				}
				attached := asking(r, "k", "x")
				synctest.Wait()
				down.Store(false)
				want(r, "told", <-call, "1")
				want(r, "attached", <-attached, "1, replayed")
				if runs.Load() != 1 {
					r.T.Errorf("%d runs", runs.Load())
				}
			})
		})
	}
}

func TestCompletionThatFailedAndWasMadeIsReplayed(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		st.fail("complete", nil, times(1, outage))
		st.fail("transact", nil, times(1, outage))
		var runs atomic.Int32
		serve(r, st, in(mode), counting(&runs))
		want(r, "told", ask(r, "k", "x"), "1, replayed")
		if runs.Load() != 1 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

// Stop comes while the store does not do its work: it ends in its time, and the
// requests are given back.
func TestStopEndsWhileTheStoreFails(t *testing.T) {
	for name, failure := range map[string]func(context.Context) error{
		"unavailable": func(context.Context) error { return outage },
		"corrupt":     func(context.Context) error { return corrupt },
		"closed":      func(context.Context) error { return store.ErrClosed },
		"hangs":       hang,
	} {
		for _, op := range []string{"get", "claim", "complete", "abandon", "renew"} {
			t.Run(name+", "+op, func(t *testing.T) {
				rig.Bubble(t, func(r *rig.Rig) {
					var data memstore.Data
					st := shared(r, &data)
					st.fail(op, failure, nil)
					g := rig.NewGate()
					if op != "abandon" && op != "renew" {
						close(g.Release)
					}
					s := mortal(r, st, lookingAt(op, in(server.AtLeastOnce)), g.Handle)
					call := asking(r, "k", "x", client.WithTimeout(50*time.Second), client.WaitForServer())
					time.Sleep(5 * time.Second)
					began := time.Now()
					_ = stopWithin(r, s, 5*time.Second)
					if took := time.Since(began); took > 7*time.Second {
						r.T.Errorf("Stop took %v", took)
					}
					// No goroutine is left in the store.
					synctest.Wait()
					if (op == "get" || op == "claim") && name != "hangs" {
						want(r, "refused", <-call, "unavailable/store_unavailable, not_executed, later")
						return
					}
					if q := r.Queue("m"); q.Ready != 1 || q.Unacked != 0 {
						r.T.Errorf("%+v", q)
					}
					var runs atomic.Int32
					serve(r, shared(r, &data), in(server.AtLeastOnce), counting(&runs))
					want(r, "told", <-call, "1")
				})
			})
		}
	}
}

// A call that was claimed without a look at its record, and may have been begun
// before, is looked at before anything is told of it.
func TestClaimWithoutALookTellsNothingThatItDoesNotKnow(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var data memstore.Data
		if _, won, err := moved(r, &data).Claim(r.T.Context(), store.Claim{
			Key: store.Scope{Method: "m", CallID: "k"}.Key(), Lease: time.Second, Retention: time.Hour,
		}); err != nil || !won {
			r.T.Fatal(won, err)
		}
		time.Sleep(time.Second)
		st := moved(r, &data)
		var runs atomic.Int32
		serve(r, st, in(mode), counting(&runs))
		told := map[server.Mode]string{
			server.AtLeastOnce:   "unavailable/store_unavailable, unknown, later",
			server.AtMostOnce:    "aborted/interrupted, unknown",
			server.Transactional: "unavailable/store_unavailable, not_executed, later",
		}
		st.fail("claim", times(2, outage), nil)
		want(r, "refused", ask(r, "k", "x"), told[mode])
		if runs.Load() != 0 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}
