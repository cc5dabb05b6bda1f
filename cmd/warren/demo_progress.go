package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/warren-rpc/warren/internal/printable"
)

// showProgress tells on standard error how the calls go: on a terminal by one
// line that is rewritten, else by a line each second. The returned function
// ends that, with a last line unless ctx has ended.
func showProgress(ctx context.Context, out *output, o demoOptions, t *tally, k *killer) (stop func()) {
	if out.quiet {
		return func() {}
	}
	terminal, period := isTerminal(out.stderr), time.Second
	if terminal {
		period = 100 * time.Millisecond
	}
	began, stopping := time.Now(), make(chan struct{})
	show := func() {
		line := progressLine(time.Since(began), o, t, k)
		if terminal {
			_, _ = fmt.Fprintf(out.stderr.raw, "\r%s\x1b[K", printable.Text(line))
		} else {
			_, _ = fmt.Fprintln(out.stderr, line)
		}
	}
	var showing sync.WaitGroup
	showing.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show()
			case <-stopping:
				if ctx.Err() == nil {
					show()
				}
				if terminal {
					_, _ = fmt.Fprint(out.stderr, "\n\n")
				}
				return
			}
		}
	})
	return func() {
		close(stopping)
		showing.Wait()
	}
}

func progressLine(elapsed time.Duration, o demoOptions, t *tally, k *killer) string {
	sums, last, answered := t.look(1000)
	slices.Sort(last)
	kills := k.kills()
	line := fmt.Sprintf("%5.1f s  %s/%s answered  p50 %s  p99 %s  errors %d  kills %d/%d",
		elapsed.Seconds(), thousands(answered), thousands(o.calls), short(quantile(last, 0.50)), short(quantile(last, 0.99)),
		sum(sums.errors)+sums.lost+sums.mismatched, len(kills), o.kills)
	if n := len(kills); n > 0 {
		line += fmt.Sprintf(" (server %d, %s)", kills[n-1].place+1, kills[n-1].point)
	}
	return line
}
