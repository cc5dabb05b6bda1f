package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// dated is a request that was made at that time, as Warren's clients send it; a
// notification if replyTo is empty.
func dated(id, replyTo string, issued time.Time) amqp.Publishing {
	meta := wire.Meta{Kind: wire.KindCall, Attempt: 1, Issued: issued}
	return amqp.Publishing{CorrelationId: id, ReplyTo: replyTo, Type: meta.Encode(), Body: []byte("x")}
}

// parkedFor returns what the calls in m's queue of dead ones are parked for.
func parkedFor(r *rig.Rig) (reasons []string) {
	r.T.Helper()
	ch := r.Peer().Channel
	for {
		d, ok, err := ch.Get("m.dead", true)
		if err != nil {
			r.T.Fatal(err)
		}
		if !ok {
			return reasons
		}
		reasons = append(reasons, fmt.Sprint(d.Headers[wire.DeadReason]))
	}
}

func TestCallThatMayBeForgottenIsNotBegun(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		m := in(mode)
		m.Dedupe.Retention = time.Hour
		var runs atomic.Int32
		serve(r, alone(r, memstore.Options{}), m, counting(&runs))
		peer := r.Peer()
		for i, c := range []struct {
			age  time.Duration
			told string // by a mode that begins no call twice, if it does not begin this one
		}{
			{0, ""},
			{time.Hour - 11*time.Second, ""},
			{time.Hour - 9*time.Second, "aborted/too_old, unknown"},
			{48 * time.Hour, "aborted/too_old, unknown"},
			{-5 * time.Second, ""},
			{-59 * time.Minute, ""},
			{-61 * time.Minute, "invalid_argument/bad_request, not_executed"},
		} {
			ran := runs.Load()
			peer.Publish("m", dated(fmt.Sprint("call-", i), peer.Queue, time.Now().Add(-c.age)))
			got := toldRaw(r, peer.Next())
			if begun := runs.Load() > ran; mode == server.AtLeastOnce || c.told == "" {
				if !begun {
					r.T.Errorf("%v old: not begun, told %s", c.age, got)
				}
			} else if begun || got != c.told {
				r.T.Errorf("%v old: begun %v, told %q; want %q", c.age, begun, got, c.told)
			}
		}
	})
}

// A notification is in a server's hands when that dies, and comes back after the
// weekend, when its record has gone.
func TestNotificationIsNotRunAgainAfterAnOutageLongerThanTheRetention(t *testing.T) {
	for _, mode := range []server.Mode{server.AtMostOnce, server.Transactional} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var data memstore.Data
				st := moved(r, &data)
				s := mortal(r, st, in(mode), counting(new(atomic.Int32)))
				// The record is written, and the acknowledgement is lost.
				lost := r.Broker.Inject(amqptest.Rule{
					When:  amqptest.When{Method: "basic.ack", Direction: amqptest.FromClient, ConnName: "*server, consumes*"},
					Times: amqptest.Always, Do: amqptest.SeverBefore(),
				})
				if err := r.Client().Notify(r.T.Context(), "m", []byte("x"), client.WithCallID("k")); err != nil {
					r.T.Fatal(err)
				}
				patience.Eventually(r.T, "it has run", func() bool { return recordOf(r, st, "k").State == store.Completed })
				kill(s, st)
				lost.Remove()
				time.Sleep(3 * 24 * time.Hour)
				var runs atomic.Int32
				serve(r, moved(r, &data), in(mode), counting(&runs))
				patience.Eventually(r.T, "it is parked, or runs", func() bool { return r.Queue("m.dead").Ready > 0 || runs.Load() > 0 })
				if runs.Load() != 0 {
					r.T.Errorf("it ran %d times more", runs.Load())
				}
				if got := strings.Join(parkedFor(r), " "); got != "too_old" {
					r.T.Errorf("parked for %q", got)
				}
				patience.Eventually(r.T, "it is acknowledged", func() bool {
					q := r.Queue("m")
					return q.Ready+q.Unacked == 0
				})
			})
		})
	}
}

// Somebody decides that a notification is to run, however old it is.
func TestNotificationThatWasTooOldRunsWhenItIsReplayed(t *testing.T) {
	for _, mode := range []server.Mode{server.AtMostOnce, server.Transactional} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				serve(r, alone(r, memstore.Options{}), in(mode), counting(&runs))
				peer := r.Peer()
				peer.Publish("m", dated("k", "", time.Now().Add(-48*time.Hour)))
				patience.Eventually(r.T, "it is parked", func() bool { return r.Queue("m.dead").Ready == 1 })
				d, _, err := peer.Channel.Get("m.dead", true)
				if err != nil {
					r.T.Fatal(err)
				}
				again := dated("k", "", time.Now().Add(-48*time.Hour))
				peer.Publish("m", again) // which is no replay
				patience.Eventually(r.T, "it is parked again", func() bool { return r.Queue("m.dead").Ready == 1 })
				if runs.Load() != 0 {
					r.T.Errorf("%d runs before the replay", runs.Load())
				}
				again.Type, again.Headers = d.Type, amqp.Table{wire.ReplayMark: noted(&d).Mark()}
				peer.Publish("m", again)
				patience.Eventually(r.T, "it runs", func() bool { return runs.Load() == 1 })
			})
		})
	}
}

// What a resolved call was told holds when its tombstone has gone, too.
func TestResolvedNotificationIsNotBegunWhenItsTombstoneHasGone(t *testing.T) {
	for _, mode := range []server.Mode{server.AtMostOnce, server.Transactional} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				m := in(mode)
				m.Dedupe.Retention = time.Minute
				m.Concurrency, m.Prefetch = 1, 1
				st := alone(r, memstore.Options{})
				time.Sleep(time.Minute)
				g := rig.NewGate()
				if mode == server.Transactional {
					atWork(st, g)
				}
				var ran atomic.Int32
				serve(r, st, m, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
					if req.CallID == "k" {
						ran.Add(1)
						return nil, nil
					}
					if mode == server.Transactional {
						return nil, nil
					}
					return g.Handle(ctx, req)
				})
				c := r.Client()
				if err := c.Notify(r.T.Context(), "m", []byte("slow"), client.WithCallID("slow")); err != nil {
					r.T.Fatal(err)
				}
				<-g.Entered
				issued := time.Now()
				if err := c.Notify(r.T.Context(), "m", []byte("x"), client.WithCallID("k")); err != nil {
					r.T.Fatal(err)
				}
				want(r, "resolved", resolved(r, "k", client.IssuedAt(issued)), "canceled, not_executed")
				time.Sleep(80 * time.Second)
				close(g.Release)
				patience.Eventually(r.T, "the queue is empty", func() bool {
					q := r.Queue("m")
					return q.Ready+q.Unacked == 0
				})
				if ran.Load() != 0 {
					r.T.Error("a call ran of which it was said that it never would")
				}
			})
		})
	}
}

// A record is kept for as long as its request can come again.
func TestRecordOutlivesTheDeadlineAndTheIssueTimeOfItsCall(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		m := in(mode)
		m.Dedupe.Retention = time.Minute
		st := alone(r, memstore.Options{})
		var runs atomic.Int32
		serve(r, st, m, counting(&runs))
		want(r, "told", ask(r, "k", "x", client.WithTimeout(time.Hour)), "1")
		if kept := time.Until(recordOf(r, st, "k").Expires); kept < time.Hour+9*time.Second || kept > time.Hour+time.Minute {
			r.T.Errorf("the record of a call with an hour's time is kept for %v", kept)
		}
		peer := r.Peer()
		issued := time.Now().Add(50 * time.Second)
		for _, told := range []string{"2", "2, replayed"} {
			peer.Publish("m", dated("ahead", peer.Queue, issued))
			want(r, "of a call that is made later", toldRaw(r, peer.Next()), told)
			time.Sleep(75 * time.Second) // longer than the retention
		}
	})
}

// What no clock can be trusted with is not proven by one.
func TestIssueTimeInTheFutureProvesNothing(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st, log := alone(r, memstore.Options{}), new(rig.Log)
		s := r.NewServer(stored(st), func(cfg *server.Config) { cfg.Logger = log.Logger() })
		m := in(mode)
		if mode == server.Transactional {
			m.Codec = warren.Raw
			if err := server.HandleTx(s, m, func(context.Context, *memstore.Tx, []byte) ([]byte, error) { return nil, nil }); err != nil {
				r.T.Fatal(err)
			}
		} else if err := s.HandleRaw(m, rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		time.Sleep(time.Minute)
		for i, c := range []struct {
			ahead time.Duration
			told  string
		}{
			{0, "canceled, not_executed"}, {9 * time.Second, "canceled, not_executed"},
			{11 * time.Second, "canceled, unknown"}, {time.Hour, "canceled, unknown"}, {1000 * time.Hour, "canceled, unknown"},
		} {
			want(r, c.ahead.String(), resolved(r, fmt.Sprint(i), client.IssuedAt(time.Now().Add(c.ahead))), c.told)
		}
		if n := strings.Count(log.String(), "a caller's clock is ahead"); n != 1 {
			r.T.Errorf("the log says %d times that a clock is ahead", n)
		}
		// A request of a call that was resolved is told no more than that.
		peer := r.Peer()
		issued := time.Now().Add(time.Hour)
		want(r, "resolved", resolved(r, "k", client.IssuedAt(issued)), "canceled, unknown")
		msg := dated("k", peer.Queue, issued)
		msg.Headers = amqp.Table{}
		peer.Publish("m", msg)
		want(r, "its request", toldRaw(r, peer.Next()), "canceled/, not_executed")
	})
}

// Nothing says how old a plain caller's request is.
func TestPlainRequestIsBegunWhateverItsAge(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		m := in(mode)
		m.Dedupe.Retention = time.Minute
		var data memstore.Data
		st := moved(r, &data)
		kill(mortal(r, st, m, rig.Echo), st)
		peer := r.Peer()
		peer.Publish("m", amqp.Publishing{CorrelationId: "1", ReplyTo: peer.Queue, Body: []byte("x")})
		time.Sleep(time.Hour)
		serve(r, moved(r, &data), m, rig.Echo)
		if d := peer.Next(); string(d.Body) != "x" {
			r.T.Errorf("told %q", d.Body)
		}
	})
}

// A replay that comes again, as its acknowledgement was lost or it was published twice,
// is not begun again for as long as it is believed, however old its call is.
func TestReplayIsBegunOnceForAsLongAsItIsBelieved(t *testing.T) {
	for _, mode := range []server.Mode{server.AtMostOnce, server.Transactional} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				serve(r, alone(r, memstore.Options{}), in(mode), counting(&runs))
				peer := r.Peer()
				first := dated("k", "", time.Now().Add(-48*time.Hour))
				peer.Publish("m", first)
				patience.Eventually(r.T, "it is parked", func() bool { return r.Queue("m.dead").Ready == 1 })
				d, _, err := peer.Channel.Get("m.dead", true)
				if err != nil {
					r.T.Fatal(err)
				}
				replay := first
				replay.Type, replay.Headers = d.Type, amqp.Table{wire.ReplayMark: noted(&d).Mark()}
				peer.Publish("m", replay)
				patience.Eventually(r.T, "it runs", func() bool { return runs.Load() == 1 })
				for _, later := range []time.Duration{time.Second, 25 * time.Hour} {
					time.Sleep(later)
					peer.Publish("m", replay)
					time.Sleep(time.Second)
				}
				if runs.Load() != 1 {
					r.T.Errorf("%d runs", runs.Load())
				}
			})
		})
	}
}
