package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// morgue is a method that parks after two attempts, with one call of ann's parked.
type morgue struct {
	r        *rig.Rig
	data     memstore.Data
	st       *testStore
	m        server.Method
	ann, bob *rig.Peer

	mu   sync.Mutex
	runs []string // the users who called
}

func newMorgue(r *rig.Rig, mode server.Mode, byCaller bool) *morgue {
	g := &morgue{r: r, m: in(mode)}
	g.m.Dedupe.Park, g.m.Dedupe.ByCaller = 2, byCaller
	peers := map[string]*rig.Peer{}
	for _, name := range []string{"ann", "bob"} {
		if err := r.Broker.AddUser(name, amqptest.User{Password: name}); err != nil {
			r.T.Fatal(err)
		}
		settings := r.Settings()
		settings.URLs = []string{r.Broker.URLAs(name, name, "/")}
		peers[name] = rig.NewPeer(r.T, settings)
	}
	g.ann, g.bob = peers["ann"], peers["bob"]
	g.st = shared(r, &g.data)
	scope := store.Scope{Method: "m", CallID: "k"}
	if byCaller {
		scope.Caller = "ann"
	}
	for range 2 {
		claim := store.Claim{Key: scope.Key(), Lease: time.Second, Retention: time.Hour}
		if _, won, err := g.st.Claim(r.T.Context(), claim); err != nil || !won {
			r.T.Fatal(won, err)
		}
		time.Sleep(time.Second)
	}
	return g
}

// handle notes who has called.
func (g *morgue) handle(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.runs = append(g.runs, req.UserID)
	return &warren.Reply{Body: []byte("done")}, nil
}

func (g *morgue) ran() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.runs, " ")
}

// park has ann call, and returns the call as it is parked.
func (g *morgue) park() amqp.Delivery {
	msg := raw(g.ann, "k", "x")
	msg.UserId = "ann"
	g.ann.Publish("m", msg)
	if told := toldRaw(g.r, g.ann.Next()); !strings.HasPrefix(told, "internal/poisoned, ") {
		g.r.T.Errorf("ann was told %s", told)
	}
	return g.dead()
}

// dead takes the call that is parked.
func (g *morgue) dead() (d amqp.Delivery) {
	patience.Eventually(g.r.T, "the call is parked", func() bool {
		var ok bool
		var err error
		d, ok, err = g.bob.Channel.Get("m.dead", true)
		return ok && err == nil
	})
	return d
}

// replay sends a parked call to its method, with that mark, as anybody could.
func (g *morgue) replay(d *amqp.Delivery, r wire.Replay) {
	g.bob.Publish("m", amqp.Publishing{
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Type: d.Type, ContentType: d.ContentType, Body: d.Body,
		Headers: amqp.Table{wire.ReplayMark: r.Mark()},
	})
}

// noted is what its parking has noted of a call.
func noted(d *amqp.Delivery) wire.Replay {
	incident, _ := d.Headers[wire.DeadIncident].(string)
	user, _ := d.Headers[wire.DeadUser].(string)
	return wire.Replay{Incident: incident, User: user}
}

func TestReplayRunsForTheCallerWhoMadeTheCall(t *testing.T) {
	for _, byCaller := range []bool{true, false} {
		for _, mode := range recorded {
			t.Run(fmt.Sprintf("%v, by caller: %v", mode, byCaller), func(t *testing.T) {
				rig.Bubble(t, func(r *rig.Rig) {
					g := newMorgue(r, server.AtLeastOnce, byCaller)
					g.m.Dedupe.Mode = mode
					if mode == server.AtMostOnce { // it parks no interrupted call
						g.m.Dedupe.Mode = server.AtLeastOnce
					}
					s := serve(r, g.st, g.m, g.handle)
					d := g.park()
					want(r, "who called", noted(&d).User, "ann")
					if g.m.Dedupe.Mode != mode {
						if err := stopWithin(r, s, time.Second); err != nil {
							r.T.Fatal(err)
						}
						g.m.Dedupe.Mode = mode
						serve(r, g.st, g.m, g.handle)
					}
					g.replay(&d, noted(&d))
					want(r, "the replay", toldRaw(r, g.ann.Next()), "done")
					g.replay(&d, noted(&d))
					want(r, "once more", toldRaw(r, g.ann.Next()), "done, replayed")
					want(r, "ran for", g.ran(), "ann")
				})
			})
		}
	}
}

// What is not proven by an incident of this call and this caller is no replay, and
// is parked again as it was.
func TestForgedReplayRunsNothing(t *testing.T) {
	for name, forge := range map[string]func(*wire.Replay){
		"no incident":      func(r *wire.Replay) { *r = wire.Replay{Incident: "1"} },
		"another incident": func(r *wire.Replay) { r.Incident = "8f0e2a4d-6c1b-4e35-97a3-4b528f0e2a4d" },
		"another user":     func(r *wire.Replay) { r.User = "bob" },
		"no user":          func(r *wire.Replay) { r.User = "" },
	} {
		for _, byCaller := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, by caller: %v", name, byCaller), func(t *testing.T) {
				rig.Bubble(t, func(r *rig.Rig) {
					g := newMorgue(r, server.AtLeastOnce, byCaller)
					serve(r, g.st, g.m, g.handle)
					d := g.park()
					forged := noted(&d)
					forge(&forged)
					g.replay(&d, forged)
					again := g.dead()
					if noted(&again) != forged || again.Headers[wire.DeadReason] != "replay_refused" || string(again.Body) != "x" {
						r.T.Errorf("%+v", again.Headers)
					}
					want(r, "told", toldRaw(r, g.ann.Next()), map[bool]string{
						true: "unauthenticated/missing_identifier, unknown", false: "internal/poisoned, unknown, replayed",
					}[byCaller])
					want(r, "ran for", g.ran(), "")
					g.replay(&d, noted(&d))
					want(r, "the replay", toldRaw(r, g.ann.Next()), "done")
					want(r, "ran for", g.ran(), "ann")
				})
			})
		}
	}
}

// A replay that its server refuses, for whatever reason, is parked again, and can be
// replayed once the reason has gone.
func TestRefusedReplayStaysParked(t *testing.T) {
	for name, refusal := range map[string]error{
		"refused":           warren.Errorf(warren.CodePermissionDenied, "not you"),
		"come later":        warren.Errorf(warren.CodeUnavailable, "the database is away"),
		"the store is away": nil,
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				g := newMorgue(r, server.AtLeastOnce, true)
				var refusing atomic.Bool
				refusing.Store(refusal != nil)
				g.m.Interceptors = []warren.Interceptor{func(next warren.Handler) warren.Handler {
					return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
						if refusing.Load() && wasParked(req) {
							return nil, refusal
						}
						return next(ctx, req)
					}
				}}
				serve(r, g.st, g.m, g.handle)
				d := g.park()
				if refusal == nil {
					g.st.fail("get", times(1, outage), nil)
				}
				g.replay(&d, noted(&d))
				again := g.dead()
				if noted(&again) != noted(&d) || again.Headers[wire.DeadReason] != "replay_refused" {
					r.T.Errorf("%+v", again.Headers)
				}
				_ = g.ann.Next() // the refusal
				refusing.Store(false)
				g.replay(&again, noted(&again))
				want(r, "the replay", toldRaw(r, g.ann.Next()), "done")
				want(r, "ran for", g.ran(), "ann")
			})
		})
	}
}

// wasParked reports whether a request is a replay.
func wasParked(req *warren.Request) bool { _, marked := req.Header[wire.ReplayMark]; return marked }

// A server that dies while it runs a replay leaves it to the next, caller and all.
func TestReplayOutlivesItsServer(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := newMorgue(r, server.AtLeastOnce, true)
		s := mortal(r, g.st, g.m, g.handle)
		d := g.park()
		if err := stopWithin(r, s, time.Second); err != nil {
			r.T.Fatal(err)
		}
		gate := rig.NewGate()
		st := shared(r, &g.data)
		s = mortal(r, st, g.m, gate.Handle)
		g.replay(&d, noted(&d))
		<-gate.Entered
		kill(s, st)
		close(gate.Release)
		serve(r, shared(r, &g.data), g.m, g.handle)
		want(r, "the replay", toldRaw(r, g.ann.Next()), "done")
		want(r, "ran for", g.ran(), "ann")
	})
}

// Without records the mark says that the request was delivered before, and nothing
// more; what is refused is parked again.
func TestReplayWithoutRecordsClaimsNothing(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := &morgue{r: r, m: in(server.AtLeastOnce), ann: r.Peer(), bob: r.Peer()}
		g.m.Dedupe.Park = 2
		r.Serve(g.m, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if string(req.Body) == "refused" {
				return nil, warren.Errorf(warren.CodeUnavailable, "not now")
			}
			return g.handle(ctx, req)
		})
		for _, body := range []string{"x", "refused"} {
			msg := raw(g.ann, "k", body)
			msg.Headers = amqp.Table{wire.ReplayMark: wire.Replay{Incident: "i", User: "root"}.Mark()}
			g.ann.Publish("m", msg)
			told := toldRaw(r, g.ann.Next())
			if body == "x" {
				want(r, "told", told, "done")
				continue
			}
			want(r, "told", told, "unavailable/, unknown")
			again := g.dead()
			if noted(&again) != (wire.Replay{Incident: "i", User: "root"}) {
				r.T.Errorf("%+v", again.Headers)
			}
		}
		want(r, "ran for", g.ran(), "")
	})
}
