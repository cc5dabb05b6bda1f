package chaos

import (
	"context"
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/netns"
	"github.com/warren-rpc/warren/test/chaos/proxy"
)

// side draws whose way to which node is struck.
func (r *run) side(rng chance) (*proxy.Proxy, string) {
	sides := []string{nearSide, farSide}
	if r.database != nil {
		sides = append(sides, storeSide)
	}
	who := one(rng, sides)
	if rng.only != "" {
		who = rng.only
	}
	switch who {
	case nearSide:
		return one(rng, r.near.proxies), who
	case farSide:
		return one(rng, r.far.proxies), who
	default:
		return r.database.way(), who
	}
}

func (r *run) cut(_ context.Context, rng chance) error {
	p, who := r.side(rng)
	how, name := proxy.RST, "reset"
	if rng.IntN(2) == 0 {
		how, name = proxy.FIN, "close"
	}
	conns := p.Conns()
	if len(conns) == 0 {
		return nil
	}
	if err := r.strike("cut", who, name); err != nil {
		return err
	}
	if rng.IntN(2) == 0 {
		p.Cut(how)
	} else {
		one(rng, conns).Cut(how)
	}
	return nil
}

// network makes a fault of a proxy's kind that lasts.
func network(kind proxy.Kind) func(*run, context.Context, chance) error {
	return func(r *run, ctx context.Context, rng chance) error {
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

func (r *run) partition(ctx context.Context, rng chance) error {
	direction := one(rng, []netns.Direction{netns.AToB, netns.BToA, netns.Both})
	return r.lasting(ctx, history.Fault{Name: "partition", Target: "server"}, upTo(rng, 5*time.Second),
		func() error { return r.wire.Partition(direction) }, func() error { return r.wire.Heal(netns.Both) })
}
