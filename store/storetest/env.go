package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

const (
	lease     = 3 * time.Second
	retention = 24 * time.Hour
	// instant is as exact as a store must keep times.
	instant = time.Millisecond
)

// clock is a clock that stands still unless it is moved.
type clock struct {
	start time.Time
	since atomic.Int64
}

func newClock() *clock { return &clock{start: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time { return c.start.Add(time.Duration(c.since.Load())) }

func (c *clock) move(d time.Duration) { c.since.Add(int64(d)) }

// env is an open store and what is needed to ask it. Its methods that end the test
// are called by the test's goroutine only.
type env struct {
	Reporter
	tb      testing.TB
	open    Open
	f       Features
	options Options
	dir     string
	clock   *clock
	ctx     context.Context
	store   store.Store
	keys    atomic.Uint64
}

func newEnv(t testing.TB, open Open, f Features, o Options) *env {
	t.Helper()
	e := &env{Reporter: t, tb: t, open: open, f: f, options: o, dir: t.TempDir(), clock: newClock(), ctx: t.Context()}
	e.store = e.another()
	return e
}

// another opens a store on the same data. It is closed when the test ends.
func (e *env) another() store.Store {
	e.Helper()
	s := e.open(e.tb, e.dir, e.clock.Now, e.options)
	e.tb.Cleanup(func() { _ = s.Close() })
	return s
}

func (e *env) close() {
	e.Helper()
	if err := e.store.Close(); err != nil {
		e.Fatalf("Close: %v", err)
	}
}

func (e *env) reopen() {
	e.Helper()
	e.close()
	e.store = e.another()
}

// killOwners makes all owners dead, by time in a store with leases, else by closing.
func (e *env) killOwners() {
	e.Helper()
	if e.f.Leases {
		e.clock.move(lease + instant)
		return
	}
	e.reopen()
}

// eventually waits until the condition holds.
func (e *env) eventually(what string, condition func() bool) {
	e.Helper()
	for deadline := time.Now().Add(e.f.Patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.Fatalf("not within %v: %s", e.f.Patience, what)
		}
	}
}

// learnsDeath waits until the store knows that the record's owner is dead, whose
// process has ended.
func (e *env) learnsDeath(key store.Key) {
	e.Helper()
	e.eventually("the claim of an owner whose process has ended is a dead owner's", func() bool {
		return e.get(key).State != store.InProgress
	})
}

// key returns one that has not been used.
func (e *env) key() store.Key { return numbered(e.keys.Add(1)) }

func numbered(n uint64) store.Key {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, n))
}

func fingerprint(s string) store.Fingerprint {
	if s == "" {
		return store.Fingerprint{}
	}
	return sha256.Sum256([]byte(s))
}

func claimOf(key store.Key) store.Claim {
	return store.Claim{
		Key: key, Method: "orders.get", CallID: "call-1", Fingerprint: fingerprint("request"),
		Lease: lease, Retention: retention,
	}
}

// win claims, and the claim must win.
func (e *env) win(c store.Claim) store.Record {
	e.Helper()
	r, won, err := e.store.Claim(e.ctx, c)
	if err != nil || !won {
		e.Fatalf("Claim: won %v, error %v, record %v; want it to win", won, err, brief(r))
	}
	return r
}

// lose claims, and the claim must not win.
func (e *env) lose(c store.Claim) store.Record {
	e.Helper()
	r, won, err := e.store.Claim(e.ctx, c)
	if err != nil || won {
		e.Fatalf("Claim: won %v, error %v, record %v; want it not to win", won, err, brief(r))
	}
	return r
}

func (e *env) get(key store.Key) store.Record {
	e.Helper()
	r, err := e.store.Get(e.ctx, key)
	if err != nil {
		e.Fatalf("Get: %v", err)
	}
	return r
}

func (e *env) end(r store.Record, state store.State, payload []byte) store.Record {
	e.Helper()
	result := store.Result{State: state, Payload: payload}
	if err := e.store.Complete(e.ctx, r.Key, r.Token, result, retention); err != nil {
		e.Fatalf("Complete as %v: %v", state, err)
	}
	return e.get(r.Key)
}

func (e *env) abandon(r store.Record) store.Record {
	e.Helper()
	if err := e.store.Abandon(e.ctx, r.Key, r.Token, store.Unended); err != nil {
		e.Fatalf("Abandon: %v", err)
	}
	return e.get(r.Key)
}

func (e *env) bury(key store.Key) store.Record {
	e.Helper()
	before, err := e.store.Bury(e.ctx, claimOf(key))
	if err != nil {
		e.Fatalf("Bury: %v", err)
	}
	return before
}

func (e *env) sweep() int {
	e.Helper()
	n, err := e.store.Sweep(e.ctx)
	if err != nil {
		e.Fatalf("Sweep: %v", err)
	}
	return n
}

func (e *env) stats() store.Stats {
	e.Helper()
	stats, err := e.store.Stats(e.ctx)
	if err != nil {
		e.Fatalf("Stats: %v", err)
	}
	return stats
}

// everyState makes a record in each state that is not Absent, and returns it as Get
// does. Only the one in progress has an owner that is alive.
func (e *env) everyState() map[store.State]store.Record {
	e.Helper()
	records := make(map[store.State]store.Record)
	records[store.Interrupted] = e.abandon(e.win(claimOf(e.key())))
	for _, state := range []store.State{store.Completed, store.Failed, store.Parked} {
		records[state] = e.end(e.win(claimOf(e.key())), state, []byte("the end: "+state.String()))
	}
	buried := e.abandon(e.win(claimOf(e.key()))).Key
	e.bury(buried)
	records[store.Tombstone] = e.get(buried)
	records[store.InProgress] = e.win(claimOf(e.key()))
	for state, r := range records {
		if r.State != state {
			e.Fatalf("a record that should be %v is %v", state, r.State)
		}
	}
	return records
}

// unchanged checks that the record is as it was.
func (e *env) unchanged(before store.Record, after string) {
	e.Helper()
	if d := difference(before, e.get(before.Key)); d != "" {
		e.Errorf("%s changed the record (%v):%s", after, before.State, d)
	}
}

// stale checks that the error is ErrStale.
func (e *env) stale(err error, what string, args ...any) {
	e.Helper()
	if !errors.Is(err, store.ErrStale) {
		e.Errorf("%s: error %v; want ErrStale", fmt.Sprintf(what, args...), err)
	}
}

// near reports whether two times are the same, as far as a store must keep them.
func near(a, b time.Time) bool {
	if a.IsZero() || b.IsZero() {
		return a.IsZero() && b.IsZero()
	}
	return a.Sub(b).Abs() <= instant
}

// difference says in what two records differ: a line for each field.
func difference(want, got store.Record) string {
	var b strings.Builder
	add := func(name string, same bool, field func(r *store.Record) any) {
		if !same {
			fmt.Fprintf(&b, "\n\t%s is %v; want %v", name, field(&got), field(&want))
		}
	}
	add("Key", want.Key == got.Key, func(r *store.Record) any { return r.Key })
	add("Method", want.Method == got.Method, func(r *store.Record) any { return r.Method })
	add("CallID", want.CallID == got.CallID, func(r *store.Record) any { return r.CallID })
	add("State", want.State == got.State, func(r *store.Record) any { return r.State })
	add("Fingerprint", want.Fingerprint == got.Fingerprint, func(r *store.Record) any { return r.Fingerprint })
	add("Token", want.Token == got.Token, func(r *store.Record) any { return r.Token })
	add("Attempts", want.Attempts == got.Attempts, func(r *store.Record) any { return r.Attempts })
	add("First", want.First == got.First, func(r *store.Record) any { return r.First })
	add("Owner", want.Owner == got.Owner, func(r *store.Record) any { return r.Owner })
	add("Lease", near(want.Lease, got.Lease), func(r *store.Record) any { return r.Lease })
	add("Created", near(want.Created, got.Created), func(r *store.Record) any { return r.Created })
	add("Updated", near(want.Updated, got.Updated), func(r *store.Record) any { return r.Updated })
	add("Expires", near(want.Expires, got.Expires), func(r *store.Record) any { return r.Expires })
	add("Payload", bytes.Equal(want.Payload, got.Payload), func(r *store.Record) any { return brief(*r) })
	add("Size", want.Size == got.Size, func(r *store.Record) any { return r.Size })
	add("Digest", want.Digest == got.Digest, func(r *store.Record) any { return r.Digest })
	add("Retained", want.Retained == got.Retained, func(r *store.Record) any { return r.Retained })
	return b.String()
}

// brief is a record in a line.
func brief(r store.Record) string {
	return fmt.Sprintf("{%v, token %d, attempts %d, %d bytes, payload %.20q}", r.State, r.Token, r.Attempts, r.Size, r.Payload)
}
