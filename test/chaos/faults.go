package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/chaos/proxy"
)

// kind is a kind of fault that a run can have.
type kind struct {
	name string
	// every is the mean time between two of them in a long run.
	every time.Duration
	usage string
	do    func(r *run, ctx context.Context, rng *rand.Rand) error
}

// kinds are all there are, in the order of `warren chaos --help`.
var kinds = []kind{
	{"kill-server", 1800 * time.Millisecond, "SIGKILL, at a named crash point or at any time", (*run).killServer},
	{"freeze-server", 25 * time.Second, "SIGSTOP for up to 3 s", (*run).freezeServer},
	{"cut", 5 * time.Second, "the clients' or the server's connections are cut", (*run).cut},
	{"half-open", 20 * time.Second, "the broker's side of connections closes, the other is not told", network(proxy.HalfOpen)},
	{"stall", 20 * time.Second, "nothing is forwarded for up to 3 s", network(proxy.Stall)},
	{"drop", 25 * time.Second, "one direction is lost", network(proxy.Drop)},
	{"delay", 30 * time.Second, "everything is late", network(proxy.Delay)},
	{"slice", 30 * time.Second, "a few bytes at a time", network(proxy.Slice)},
	{"broker-kill", 50 * time.Second, "SIGKILL of the broker's node, which is started again", (*run).killBroker},
	{"broker-freeze", 60 * time.Second, "SIGSTOP of the broker's node for up to 3 s", (*run).freezeBroker},
	{"close-connections", 30 * time.Second, "the broker closes all connections", (*run).closeConnections},
	{"alarm", 40 * time.Second, "the broker blocks publishers for up to 2 s: memory or disk", (*run).alarm},
	{"delete-queue", 60 * time.Second, "the queue of the method is deleted, with what it holds", (*run).deleteQueue},
	{"clock", 30 * time.Second, "the clock of the server's store is off by an hour", (*run).clock},
	{"poison", 70 * time.Second, "a call that kills each server which begins it", (*run).poison},
}

// Faults lists the names of all kinds of fault.
func Faults() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// Describe says what a kind of fault does.
func Describe(name string) string {
	for _, k := range kinds {
		if k.name == name {
			return k.usage
		}
	}
	return ""
}

// choose returns the kinds of those names, all for none.
func choose(names []string) ([]kind, error) {
	if len(names) == 0 {
		return kinds, nil
	}
	var chosen []kind
	for _, name := range names {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("chaos: there is no fault %.40q; there are %s", name, strings.Join(Faults(), ", "))
		}
		chosen = append(chosen, kinds[i])
	}
	return chosen, nil
}

// breaks has faults of one kind happen until ctx ends. Each kind has its own
// source of chance, so that the seed alone says what it does and when.
func (r *run) breaks(ctx context.Context, k kind, n int) {
	rng := rand.New(rand.NewPCG(r.cfg.Seed, uint64(1000+n)))
	// Each kind comes at least three times, also in a short run.
	every := min(k.every, r.cfg.Duration/4)
	for {
		if pause(ctx, every/2+time.Duration(rng.Int64N(int64(every)))) != nil {
			return
		}
		if err := k.do(r, ctx, rng); err != nil && ctx.Err() == nil {
			r.fail(fmt.Errorf("chaos: %s: %w", k.name, err))
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lasting records a fault that is begun now, waits, ends it, and records that. A
// fault that has begun is ended whatever happens.
func (r *run) lasting(ctx context.Context, f history.Fault, d time.Duration, begin, end func() error) error {
	ended, err := r.log.Begin(f)
	if err != nil {
		return err
	}
	r.count()
	if err := begin(); err != nil {
		return errors.Join(err, ended())
	}
	_ = pause(ctx, d)
	return errors.Join(end(), ended())
}

// serverPoints are the crash points that a server passes.
func serverPoints() []string {
	points := proc.Points()
	return points[slices.Index(points, "delivered"):]
}

// killServer has the server die: mostly at a crash point that it passes soon, else
// at once. Who follows the server records it, and starts it again.
func (r *run) killServer(ctx context.Context, rng *rand.Rand) error {
	points := serverPoints()
	n := rng.IntN(len(points) + 1)
	if n == len(points) {
		r.server.Kill()
		return nil
	}
	plan := proc.Plan(fmt.Sprintf("%s:%d", points[n], 1+rng.IntN(8)))
	// It may die, or be frozen, as this is told to it.
	order, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = r.server.Arm(order, plan)
	return nil
}

func (r *run) freezeServer(ctx context.Context, rng *rand.Rand) error {
	d := upTo(rng, 3*time.Second)
	return r.lasting(ctx, history.Fault{Name: "freeze-server", Target: "server"}, d, func() error {
		_ = r.server.Freeze(ctx) // it may have ended
		return nil
	}, func() error {
		_ = r.server.Thaw()
		return nil
	})
}

func upTo(rng *rand.Rand, most time.Duration) time.Duration {
	return most/10 + time.Duration(rng.Int64N(int64(most-most/10)))
}

// side draws whose connections are struck.
func (r *run) side(rng *rand.Rand) (*proxy.Proxy, string) {
	if rng.IntN(2) == 0 {
		return r.near, "clients"
	}
	return r.far, "server"
}

func (r *run) cut(_ context.Context, rng *rand.Rand) error {
	p, who := r.side(rng)
	how, name := proxy.RST, "reset"
	if rng.IntN(2) == 0 {
		how, name = proxy.FIN, "close"
	}
	conns := p.Conns()
	if len(conns) == 0 {
		return nil
	}
	r.count()
	if err := r.log.Strike(history.Fault{Name: "cut", Target: who, Detail: name}); err != nil {
		return err
	}
	if rng.IntN(2) == 0 {
		p.Cut(how)
	} else {
		conns[rng.IntN(len(conns))].Cut(how)
	}
	return nil
}

// network makes a fault of a proxy's kind that lasts.
func network(kind proxy.Kind) func(*run, context.Context, *rand.Rand) error {
	return func(r *run, ctx context.Context, rng *rand.Rand) error {
		p, who := r.side(rng)
		f := proxy.Random(rng.Uint64(), 1, time.Second, kind)[0]
		var end func()
		return r.lasting(ctx, history.Fault{Name: string(kind), Target: who, Detail: f.String()}, upTo(rng, 3*time.Second),
			func() error {
				end = f.Begin(p)
				return nil
			}, func() error {
				end()
				return nil
			})
	}
}

func (r *run) killBroker(ctx context.Context, rng *rand.Rand) error {
	return r.withBroker(func() error {
		return r.lasting(ctx, history.Fault{Name: "broker-kill", Target: "broker"}, upTo(rng, 2*time.Second), func() error {
			r.node.Kill()
			return nil
		}, func() error { return r.node.Restart(context.WithoutCancel(ctx)) })
	})
}

func (r *run) freezeBroker(ctx context.Context, rng *rand.Rand) error {
	return r.withBroker(func() error {
		return r.lasting(ctx, history.Fault{Name: "broker-freeze", Target: "broker"}, upTo(rng, 3*time.Second), r.node.Freeze, r.node.Thaw)
	})
}

func (r *run) closeConnections(ctx context.Context, _ *rand.Rand) error {
	return r.withBroker(func() error {
		r.count()
		if err := r.log.Strike(history.Fault{Name: "close-connections", Target: "broker"}); err != nil {
			return err
		}
		return r.node.CloseConnections(ctx, "chaos")
	})
}

func (r *run) alarm(ctx context.Context, rng *rand.Rand) error {
	return r.withBroker(func() error {
		set, what := r.node.MemoryAlarm, "memory"
		if rng.IntN(2) == 0 {
			set, what = r.node.DiskAlarm, "disk"
		}
		f := history.Fault{Name: "alarm", Target: "broker", Detail: what}
		return r.lasting(ctx, f, upTo(rng, 2*time.Second),
			func() error { return set(ctx, true) }, func() error { return set(context.WithoutCancel(ctx), false) })
	})
}

func (r *run) deleteQueue(ctx context.Context, _ *rand.Rand) error {
	return r.withBroker(func() error {
		r.count()
		if err := r.log.Strike(history.Fault{Name: "delete-queue", Target: "broker"}); err != nil {
			return err
		}
		if _, err := r.depth(ctx); err != nil {
			return nil //nolint:nilerr // it is not there, as the one before deleted it and nobody serves
		}
		return r.node.DeleteQueue(ctx, "/", method)
	})
}

func (r *run) clock(ctx context.Context, rng *rand.Rand) error {
	off := time.Hour
	if rng.IntN(2) == 0 {
		off = -off
	}
	step := func(d time.Duration) error {
		order, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = r.server.SetClock(order, d) // it also holds for the server's next start
		return nil
	}
	f := history.Fault{Name: "clock", Target: "server", Detail: off.String()}
	return r.lasting(ctx, f, upTo(rng, 5*time.Second), func() error { return step(off) }, func() error { return step(0) })
}

// poisonPatience is how long a poisonous call may take to be parked.
const poisonPatience = 90 * time.Second

func (r *run) poison(ctx context.Context, _ *rand.Rand) error {
	r.count()
	if err := r.log.Strike(history.Fault{Name: "poison", Target: "server"}); err != nil {
		return err
	}
	number := int(r.poisons.Add(1))
	r.poisoning.Go(func() { r.clients.Poison(context.WithoutCancel(ctx), number, poisonPatience) })
	return nil
}
