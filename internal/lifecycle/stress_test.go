package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/test/patience"
)

// good is the contract, kept by a Runner.
type good struct{ lifecycle.Runner }

func (g *good) Start(context.Context) error {
	if err := g.Runner.Start(); err != nil {
		return err
	}
	g.Go(func(ctx context.Context) { <-ctx.Done() })
	return nil
}

func TestGoodServicePassesTheStress(t *testing.T) {
	t.Parallel()
	lifecycle.Stress(t, patience.Soon, func() lifecycle.Service { return &good{} })
}

// A stress test that nothing fails proves nothing: each of these services
// breaks one promise.
func TestBrokenServicesFailTheStress(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		start, stop func(g *good, ctx context.Context) error
		finding     string
	}{
		"starts twice": {
			start: func(g *good, ctx context.Context) error {
				if err := g.Start(ctx); !errors.Is(err, lifecycle.ErrStarted) {
					return err
				}
				return nil
			},
			finding: "second Start: <nil>",
		},
		"starts after it was stopped": {
			start: func(g *good, ctx context.Context) error {
				if err := g.Start(ctx); !errors.Is(err, lifecycle.ErrStopped) {
					return err
				}
				return nil
			},
			finding: "Start after Stop: <nil>",
		},
		"never starts": {
			start:   func(*good, context.Context) error { return broken },
			finding: "Start: broken",
		},
		"cannot be stopped before it started": {
			stop: func(g *good, ctx context.Context) error {
				if g.Go(func(context.Context) {}) {
					return g.Stop(ctx)
				}
				return errors.Join(broken, g.Stop(ctx))
			},
			finding: "Stop before Start: broken",
		},
		"refuses a second Stop": {
			stop: func(g *good, ctx context.Context) error {
				if err := g.Runner.Start(); errors.Is(err, lifecycle.ErrStopped) {
					return broken
				}
				return g.Stop(ctx)
			},
			finding: "Stop again: broken",
		},
	} {
		findings := stress(patience.Soon, func() lifecycle.Service { return &altered{start: test.start, stop: test.stop} })
		if !slices.ContainsFunc(findings, func(f string) bool { return strings.HasPrefix(f, test.finding) }) {
			t.Errorf("a service that %s is found out by %q; want %q", name, findings, test.finding)
		}
	}
}

func TestConcurrentDoubleStartFailsTheStress(t *testing.T) {
	t.Parallel()
	// One of the concurrent Starts always wins here, and a second does too.
	findings := stress(patience.Soon, func() lifecycle.Service { return &doubleStart{} })
	if !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, "concurrent Starts succeeded") }) {
		t.Errorf("a service that starts twice at once is found out by %q", findings)
	}
}

func TestStopThatHangsIsReportedAndLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, stopsThatHang)
}

func stopsThatHang(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for name, test := range map[string]struct {
		stop    func(g *good, ctx context.Context) error
		finding string
	}{
		"until its context ends": {
			func(_ *good, ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			"Stop before Start: context deadline exceeded",
		},
		"for ever": {
			func(*good, context.Context) error { <-release; return nil },
			"Stop before Start does not end",
		},
	} {
		var all []*altered
		findings := stress(time.Second, func() lifecycle.Service {
			s := &altered{stop: test.stop}
			all = append(all, s)
			return s
		})
		if len(findings) == 0 || !strings.HasPrefix(findings[0], test.finding) {
			t.Errorf("a Stop that hangs %s is found out by %q; want %q", name, findings, test.finding)
		}
		for _, s := range all {
			if err := s.Runner.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// stress returns what Stress finds.
func stress(limit time.Duration, newService func() lifecycle.Service) []string {
	var r recorder
	lifecycle.Stress(&r, limit, newService)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.findings
}

// recorder is a lifecycle.TB that keeps what is reported.
type recorder struct {
	mu       sync.Mutex
	findings []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = append(r.findings, fmt.Sprintf(format, args...))
}

// altered is a good service with a Start or a Stop of another kind.
type altered struct {
	good
	start, stop func(g *good, ctx context.Context) error
}

func (a *altered) Start(ctx context.Context) error {
	if a.start != nil {
		return a.start(&a.good, ctx)
	}
	return a.good.Start(ctx)
}

func (a *altered) Stop(ctx context.Context) error {
	if a.stop != nil {
		return a.stop(&a.good, ctx)
	}
	return a.good.Stop(ctx)
}

// doubleStart tells the first two callers of Start alike that they started it,
// however it is stopped meanwhile.
type doubleStart struct {
	good
	mu     sync.Mutex
	starts int
}

func (d *doubleStart) Start(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.starts++; d.starts <= 2 {
		return nil
	}
	return lifecycle.ErrStarted
}
