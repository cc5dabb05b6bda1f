package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// envCrashes is how often the tests of this file kill the server at each point,
// instead of defaultCrashes times.
const envCrashes = "WARREN_CRASHES"

const defaultCrashes = 6

// serverPoints are those that a request with a record passes.
var serverPoints = []crashpoint.Point{
	crashpoint.Delivered, crashpoint.Claimed, crashpoint.InHandler, crashpoint.EffectDone, crashpoint.Committing,
	crashpoint.Committed, crashpoint.ReplyPublished, crashpoint.ReplyConfirmed, crashpoint.Acked,
}

// Money is neither made nor lost, each transfer that succeeded is in the book once,
// and what callers are told of the others agrees with the book.
func TestTransactionalEffectsAreExactlyOnceWhileServersAreKilled(t *testing.T) {
	t.Parallel()
	crashWhileCalling(t, server.Transactional)
}

// No call has two effects, and each that succeeded has one.
func TestAtMostOnceEffectsAreNeverRepeatedWhileServersAreKilled(t *testing.T) {
	t.Parallel()
	crashWhileCalling(t, server.AtMostOnce)
}

// Each call that succeeded has an effect.
func TestAtLeastOnceEffectsAreNeverMissingWhileServersAreKilled(t *testing.T) {
	t.Parallel()
	crashWhileCalling(t, server.AtLeastOnce)
}

func crashWhileCalling(t *testing.T, mode server.Mode) {
	t.Helper()
	spec := bankSpec{URL: rabbit.VHost(t), Folder: t.TempDir(), Mode: mode}
	c := newClient(t, spec.URL, func(cfg *client.Config) {
		cfg.NoServer = client.Wait
		cfg.Policies.Methods = map[string]reliability.Policy{"*": {
			Timeout: new(5 * time.Second), AttemptTimeout: new(time.Second),
			Retry:  reliability.RetryPolicy{Attempts: new(5)},
			Budget: reliability.BudgetPolicy{Off: new(true)}, Breaker: reliability.BreakerPolicy{Off: new(true)},
		}}
	})
	h := &history{t: t, c: c, mode: mode}

	// The first one is there to declare the queues.
	first := startBank(t, spec)
	patience.Eventually(t, "the first bank serves", func() bool { return first.count("ready") == 1 || first.ended() })
	done := make(chan struct{})
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() { h.work(done) })
	}
	rest := sync.OnceFunc(func() {
		close(done)
		workers.Wait()
	})
	t.Cleanup(rest)
	kill(t, first)
	began := time.Now()
	kills := crashAtEveryPoint(t, spec)
	t.Logf("%d kills, one in %v", kills, (time.Since(began) / time.Duration(max(kills, 1))).Round(time.Millisecond))

	last := startBank(t, spec)
	patience.Eventually(t, "the last bank serves", func() bool { return last.count("ready") == 1 || last.ended() })
	rest()
	h.settle()
	kill(t, last)
	h.judge(effectsOf(t, spec))
}

// crashAtEveryPoint has one bank after the other kill itself, and returns how many
// did.
func crashAtEveryPoint(t *testing.T, spec bankSpec) (kills int) {
	t.Helper()
	each := defaultCrashes
	if text := os.Getenv(envCrashes); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q; want how often the server is killed at each point", envCrashes, text)
		}
		each = n
	}
	for range each {
		for _, i := range rand.Perm(len(serverPoints)) {
			spec.Point, spec.Nth = serverPoints[i], 1+rand.Int64N(40)
			bank := startBank(t, spec)
			select {
			case <-bank.done:
			case <-time.After(patience.Soon):
				t.Fatalf("the bank has not reached %s %d times", spec.Point, spec.Nth)
			}
			wantKilled(t, bank)
			kills++
		}
	}
	return kills
}

// kill ends a bank as a crash does.
func kill(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	wantKilled(t, p)
}

func wantKilled(t *testing.T, p *process) {
	t.Helper()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the bank ended by itself: %v", p.cmd.ProcessState)
	}
}
