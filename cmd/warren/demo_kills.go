package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warren-rpc/warren/internal/crashpoint"
)

// The points that a request passes in a server, without a store and with one.
var (
	plainPoints = []crashpoint.Point{
		crashpoint.Delivered, crashpoint.InHandler, crashpoint.EffectDone,
		crashpoint.ReplyPublished, crashpoint.ReplyConfirmed,
	}
	storePoints = []crashpoint.Point{
		crashpoint.Delivered, crashpoint.Claimed, crashpoint.InHandler, crashpoint.EffectDone,
		crashpoint.Committing, crashpoint.Committed, crashpoint.ReplyPublished, crashpoint.ReplyConfirmed,
	}
)

// killPoints spreads n kills evenly over the points, in random order.
func killPoints(n int, seed int64, points []crashpoint.Point) []crashpoint.Point {
	points = slices.Clone(points)
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	var chosen []crashpoint.Point
	for len(chosen) < n {
		r.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		chosen = append(chosen, points...)
	}
	return chosen[:n]
}

// killer kills servers that have a request in hand, one at a time, and starts
// them again.
type killer struct {
	servers  *fleet
	points   []crashpoint.Point // one for each kill
	patience time.Duration
	busy     chan struct{} // holds a token from the arming until the server is back

	mu    sync.Mutex
	armed int
	done  []kill
}

// kill is one that has happened.
type kill struct {
	place int
	point crashpoint.Point
}

func newKiller(servers *fleet, points []crashpoint.Point, patience time.Duration) *killer {
	return &killer{servers: servers, points: points, patience: patience, busy: make(chan struct{}, 1)}
}

// beforeCall returns a function to be called before each call, by its number:
// it spreads the kills evenly over the calls. It waits until the last kill is
// over, so that every kill has a call to hit.
func (k *killer) beforeCall(calls int) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		if k.armed == len(k.points) || n < (k.armed+1)*calls/(len(k.points)+1) {
			return nil
		}
		return k.arm(ctx)
	}
}

// arm begins a kill: the first request that reaches the point is its server's
// last.
func (k *killer) arm(ctx context.Context) error {
	if err := k.take(ctx); err != nil {
		return err
	}
	point := k.points[k.armed]
	k.armed++
	if err := k.servers.arm(ctx, point); err != nil {
		<-k.busy
		return err
	}
	go func() {
		defer func() { <-k.busy }()
		if err := k.strike(ctx, point); err != nil && ctx.Err() == nil {
			k.servers.fail(err)
		}
	}()
	return nil
}

// strike kills the first server that holds a request. If none does in time,
// because calls fail before they get so far, there is no kill.
func (k *killer) strike(ctx context.Context, point crashpoint.Point) error {
	patience := time.NewTimer(k.patience)
	defer patience.Stop()
	select {
	case s := <-k.servers.held:
		s.kill()
		k.servers.disarm(ctx)
		k.mu.Lock()
		k.done = append(k.done, kill{s.place, point})
		k.mu.Unlock()
		return k.servers.restart(ctx, s)
	case <-patience.C:
		k.servers.disarm(ctx)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wait returns when the last kill is over.
func (k *killer) wait(ctx context.Context) error {
	if err := k.take(ctx); err != nil {
		return err
	}
	<-k.busy
	return nil
}

func (k *killer) take(ctx context.Context) error {
	select {
	case k.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// kills are those that have happened so far.
func (k *killer) kills() []kill {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]kill(nil), k.done...)
}

// pointsOf lists how many kills happened at each point, in the order in which
// a request passes them.
func pointsOf(kills []kill) string {
	counts := map[crashpoint.Point]int{}
	for _, k := range kills {
		counts[k.point]++
	}
	var parts []string
	for _, point := range crashpoint.All {
		if n := counts[point]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", point, n))
		}
	}
	return strings.Join(parts, ", ")
}
