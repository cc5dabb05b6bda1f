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
	"github.com/warren-rpc/warren/test/chaos/proxy"
)

// kind is a kind of fault that a run can have.
type kind struct {
	name string
	// every is the mean time between two of them in a long run.
	every time.Duration
	needs need
	usage string
	do    func(r *run, ctx context.Context, rng chance) error
}

// choice is a kind that a run has.
type choice struct {
	kind

	only string // whose connections are struck: "clients", "server" or "store", or any
}

// chance is what a kind's faults are drawn by.
type chance struct {
	*rand.Rand

	only string // the kind's
}

// kinds are all there are, in the order of `warren chaos --help`.
var kinds = []kind{
	{"kill-server", 1100 * time.Millisecond, nothing, "SIGKILL, at a named crash point or at any time", (*run).killServer},
	{"freeze-server", 25 * time.Second, nothing, "SIGSTOP for up to 3 s", (*run).freezeServer},
	{"kill-client", 8 * time.Second, aCaller, "SIGKILL of a process that calls, at a crash point or at any time", (*run).killClient},
	{"cut", 4 * time.Second, nothing, "connections are cut: the clients' or the servers' to the broker, or the servers' to PostgreSQL", (*run).cut},
	{"half-open", 20 * time.Second, nothing, "the broker's side of connections closes, the other is not told", network(proxy.HalfOpen)},
	{"stall", 20 * time.Second, nothing, "nothing is forwarded for up to 3 s", network(proxy.Stall)},
	{"drop", 25 * time.Second, nothing, "one direction is lost", network(proxy.Drop)},
	{"delay", 30 * time.Second, nothing, "everything is late", network(proxy.Delay)},
	{"slice", 30 * time.Second, nothing, "a few bytes at a time", network(proxy.Slice)},
	{"partition", 30 * time.Second, aWire, "packets between servers and broker, and PostgreSQL, vanish for up to 5 s (needs root)", (*run).partition},
	{"broker-kill", 36 * time.Second, nothing, "SIGKILL of a broker's node, which is started again", (*run).killBroker},
	{"broker-freeze", 60 * time.Second, nothing, "SIGSTOP of a broker's node for up to 3 s", (*run).freezeBroker},
	{"close-connections", 30 * time.Second, nothing, "the broker closes all connections of a node", (*run).closeConnections},
	{"alarm", 40 * time.Second, nothing, "the broker blocks publishers for up to 2 s: memory or disk", (*run).alarm},
	{"delete-queue", 60 * time.Second, nothing, "the queue of the method is deleted, with what it holds", (*run).deleteQueue},
	{"disk-full", 40 * time.Second, aDisk, "the disk of the server's store is full for up to 3 s (needs root)", (*run).fillDisk},
	{"disk-slow", 40 * time.Second, aDisk, "that disk stops now and then, or for up to 2 s (needs root)", (*run).slowDisk},
	{"kill-postgres", 25 * time.Second, aDatabase, "SIGKILL of PostgreSQL, the primary, which is started again (--store postgres)", (*run).killDatabase},
	{"postgres-failover", 80 * time.Second, aStandby, "the primary is killed, and its synchronous standby promoted (--store postgres)", (*run).failOver},
	{"clock", 30 * time.Second, nothing, "the clock of the servers' store is off by an hour", (*run).clock},
	{"duplicate", 10 * time.Second, nothing, "requests come up to three times", (*run).duplicate},
	{"reorder", 10 * time.Second, nothing, "requests come late, marked as redelivered, in another order", (*run).reorder},
	{"forge", 10 * time.Second, nothing, "replies that nobody gave are sent to callers", (*run).forge},
	{"stranger", 2 * time.Second, ownOperations, "another user makes a call with the ID of someone's", (*run).strange},
	{"unserved", 3 * time.Second, nothing, "a call of a method that nobody serves", (*run).nobody},
	{"unreadable", 8 * time.Second, nothing, "plain peers send headers that no AMQP library can read", (*run).unreadable},
	{"refused", 4 * time.Second, ownLimits, "calls that the broker refuses: too large, or in another's name", (*run).refused},
	{"other-store", 25 * time.Second, aMemory, "a server dies, and one with a store of its own takes its place", (*run).supplant},
	{"retention", 15 * time.Second, aMemory, "a request comes again after its call has been forgotten", (*run).outlive},
	{"skew", 15 * time.Second, aMemory, "a caller's clock is 45 s fast, or 15 s slow", (*run).skewed},
	{"poison", 70 * time.Second, ownOperations, "a call that kills each server which begins it", (*run).poison},
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
func choose(names []string) (chosen []choice, err error) {
	if len(names) == 0 {
		names = Faults()
	}
	for _, full := range names {
		name, only, limited := strings.Cut(full, ":")
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("chaos: there is no fault %.40q; there are %s", name, strings.Join(Faults(), ", "))
		}
		k := choice{kinds[i], only}
		if limited && (!slices.Contains([]string{nearSide, farSide, storeSide}, only) || !k.sided()) {
			return nil, fmt.Errorf("chaos: there is no fault %.40q: only what strikes connections takes :%s, :%s or :%s",
				full, nearSide, farSide, storeSide)
		}
		chosen = append(chosen, k)
	}
	return chosen, nil
}

// Check says what is wrong with a list of faults, as [Config] has it.
func Check(faults []string) error {
	_, err := choose(faults)
	return err
}

// The sides whose connections can be struck.
const (
	nearSide  = "clients"
	farSide   = "server"
	storeSide = "store"
)

// sided reports whether faults of the kind strike one side's connections.
func (k kind) sided() bool {
	return slices.Contains([]string{"cut", "half-open", "stall", "drop", "delay", "slice"}, k.name)
}

// breaks has faults of one kind happen until ctx ends. Each kind has its own
// source of chance, so that the seed alone says what it does and when.
func (r *run) breaks(ctx context.Context, k choice, n int) {
	rng := chance{rand.New(rand.NewPCG(r.cfg.Seed, uint64(1000+n))), k.only}
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
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it waited for its turn until all was over
	}
	ended, err := r.log.Begin(f)
	if err != nil {
		return err
	}
	r.count()
	if err := begin(); err != nil {
		return errors.Join(err, end(), ended()) // it may have begun all the same
	}
	_ = pause(ctx, d)
	return errors.Join(end(), ended())
}

// strike records a fault without a length.
func (r *run) strike(name, target, detail string) error {
	r.count()
	return r.log.Strike(history.Fault{Name: name, Target: target, Detail: detail})
}

func upTo(rng chance, most time.Duration) time.Duration {
	return most/10 + time.Duration(rng.Int64N(int64(most-most/10)))
}

// one draws one of several.
func one[T any](rng chance, of []T) T { return of[rng.IntN(len(of))] }
