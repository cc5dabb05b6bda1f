package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/proc"
)

// points are the crash points that a client passes, and those that a server does.
func points() (client, server []string) {
	all := proc.Points()
	first := slices.Index(all, "delivered")
	return all[:first], all[first:]
}

// killServer has a server die. Who follows it records that, and starts it again.
func (r *run) killServer(ctx context.Context, rng chance) error {
	_, points := points()
	kill(ctx, rng, one(rng, r.servers).Process, points)
	return nil
}

func (r *run) killClient(ctx context.Context, rng chance) error {
	points, _ := points()
	kill(ctx, rng, r.caller, points)
	return nil
}

// kill has a process die: mostly at a crash point that it passes soon, else at once.
func kill(ctx context.Context, rng chance, p *proc.Process, points []string) {
	n := rng.IntN(len(points) + 1)
	if n == len(points) {
		p.Kill()
		return
	}
	// It may die, or be frozen, as this is told to it.
	order, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = p.Arm(order, proc.Plan(fmt.Sprintf("%s:%d", points[n], 1+rng.IntN(8))))
}

func (r *run) freezeServer(ctx context.Context, rng chance) error {
	d, s := upTo(rng, 3*time.Second), one(rng, r.servers)
	return r.lasting(ctx, history.Fault{Name: "freeze-server", Target: s.name}, d, func() error {
		_ = s.Freeze(ctx) // it may have ended
		return nil
	}, func() error {
		_ = s.Thaw()
		return nil
	})
}

// clock steps the clock of the servers' store: that of the file's process, or the
// database's, which is the same for all of them.
func (r *run) clock(ctx context.Context, rng chance) error {
	off := time.Hour
	if rng.IntN(2) == 0 {
		off = -off
	}
	step := func(d time.Duration) error {
		order, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		var orders sync.WaitGroup
		for _, s := range r.servers {
			orders.Go(func() { _ = s.SetClock(order, d) }) // it also holds for the server's next start
		}
		orders.Wait()
		return nil
	}
	f := history.Fault{Name: "clock", Target: "server", Detail: off.String()}
	return r.lasting(ctx, f, upTo(rng, 5*time.Second), func() error { return step(off) }, func() error { return step(0) })
}

func (r *run) fillDisk(ctx context.Context, rng chance) error {
	return with(&r.storage, func() error {
		f := history.Fault{Name: "disk-full", Target: "server"}
		return r.lasting(ctx, f, upTo(rng, 3*time.Second), func() error { return r.disk.Fill(0) }, r.disk.Empty)
	})
}

func (r *run) slowDisk(ctx context.Context, rng chance) error {
	return with(&r.storage, func() error {
		f := history.Fault{Name: "disk-slow", Target: "server", Detail: "stopped"}
		begin := r.disk.Stall
		if rng.IntN(2) == 0 {
			each := upTo(rng, 100*time.Millisecond)
			f.Detail, begin = "stops of "+each.String(), func() error { return r.disk.Slow(each) }
		}
		return r.lasting(ctx, f, upTo(rng, 2*time.Second), begin, r.disk.Resume)
	})
}
