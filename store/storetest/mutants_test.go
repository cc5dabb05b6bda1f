package storetest_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/storetest"
)

// mutantName is the environment variable that breaks the store under test.
const mutantName = "WARREN_STORETEST_MUTANT"

// breakage is one way to break a store that works. The groups of the suite that are
// named, separated by blanks, must all fail for it.
type breakage struct {
	groups string
	change func(*mutant)
}

// mutant is a store in memory that breaks the contract. Its functions, where they are
// not nil, stand in for the methods.
type mutant struct {
	store.Store // the one that works
	*memory
	now func() time.Time

	get      func(ctx context.Context, key store.Key) (store.Record, error)
	claim    func(ctx context.Context, c store.Claim) (store.Record, bool, error)
	renew    func(ctx context.Context, key store.Key, token uint64, lease time.Duration) error
	complete func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error
	abandon  func(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error
	bury     func(ctx context.Context, b store.Claim) (store.Record, error)
	sweep    func(ctx context.Context) (int, error)
	stats    func(ctx context.Context) (store.Stats, error)
	owner    func() string
	identity func() store.Identity
	traits   func() store.Traits
	close    func() error
	wait     func(ctx context.Context, key store.Key, token uint64) error
}

// memory is what a mutant keeps beside the store that works, however often it is
// opened.
type memory struct {
	mu      sync.Mutex
	opened  int
	records map[store.Key]store.Record
	tokens  map[store.Key]uint64
	buffers map[store.Key][]byte
}

func (m *mutant) Get(ctx context.Context, key store.Key) (store.Record, error) {
	if m.get != nil {
		return m.get(ctx, key)
	}
	return m.Store.Get(ctx, key)
}

func (m *mutant) Claim(ctx context.Context, c store.Claim) (store.Record, bool, error) {
	if m.claim != nil {
		return m.claim(ctx, c)
	}
	return m.Store.Claim(ctx, c)
}

func (m *mutant) Renew(ctx context.Context, key store.Key, token uint64, lease time.Duration) error {
	if m.renew != nil {
		return m.renew(ctx, key, token, lease)
	}
	return m.Store.Renew(ctx, key, token, lease)
}

func (m *mutant) Complete(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
	if m.complete != nil {
		return m.complete(ctx, key, token, r, retention)
	}
	return m.Store.Complete(ctx, key, token, r, retention)
}

func (m *mutant) Abandon(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
	if m.abandon != nil {
		return m.abandon(ctx, key, token, end)
	}
	return m.Store.Abandon(ctx, key, token, end)
}

func (m *mutant) Bury(ctx context.Context, b store.Claim) (store.Record, error) {
	if m.bury != nil {
		return m.bury(ctx, b)
	}
	return m.Store.Bury(ctx, b)
}

func (m *mutant) Sweep(ctx context.Context) (int, error) {
	if m.sweep != nil {
		return m.sweep(ctx)
	}
	return m.Store.Sweep(ctx)
}

func (m *mutant) Stats(ctx context.Context) (store.Stats, error) {
	if m.stats != nil {
		return m.stats(ctx)
	}
	return m.Store.Stats(ctx)
}

func (m *mutant) Owner() string {
	if m.owner != nil {
		return m.owner()
	}
	return m.Store.Owner()
}

func (m *mutant) Identity() store.Identity {
	if m.identity != nil {
		return m.identity()
	}
	return m.Store.Identity()
}

func (m *mutant) Traits() store.Traits {
	if m.traits != nil {
		return m.traits()
	}
	return m.Store.Traits()
}

func (m *mutant) Close() error {
	if m.close != nil {
		return m.close()
	}
	return m.Store.Close()
}

func (m *mutant) Wait(ctx context.Context, key store.Key, token uint64) error {
	if m.wait != nil {
		return m.wait(ctx, key, token)
	}
	return m.delegate(ctx, key, token)
}

// delegate is the Wait of the store that works.
func (m *mutant) delegate(ctx context.Context, key store.Key, token uint64) error {
	if w, ok := m.Store.(store.Waiter); ok {
		return w.Wait(ctx, key, token)
	}
	return errors.ErrUnsupported
}

// breaking opens stores that work or, in a process that is to fail, mutants.
func breaking(t *testing.T, open storetest.Open) storetest.Open {
	t.Helper()
	name := os.Getenv(mutantName)
	if name == "" {
		return open
	}
	all := allMutants()
	maps.Copy(all, exclusiveMutants)
	maps.Copy(all, sharedMutants)
	change := all[name].change
	if change == nil {
		t.Fatalf("there is no mutant %q", name)
	}
	var mu sync.Mutex
	memories := make(map[string]*memory)
	return func(t testing.TB, dir string, now func() time.Time, o storetest.Options) store.Store {
		mu.Lock()
		defer mu.Unlock()
		if memories[dir] == nil {
			memories[dir] = &memory{
				records: make(map[store.Key]store.Record), tokens: make(map[store.Key]uint64), buffers: make(map[store.Key][]byte),
			}
		}
		if name == "knows no limit" {
			o.SizeLimit = 0
		}
		m := &mutant{Store: open(t, dir, now, o), memory: memories[dir], now: now}
		m.opened++
		change(m)
		return m
	}
}

// allMutants break a store with leases.
func allMutants() map[string]breakage {
	all := maps.Clone(claimMutants)
	maps.Copy(all, endMutants)
	return all
}

func TestMutantsFail(t *testing.T) {
	t.Parallel()
	// Each is a process of its own, and most of its time is its start.
	places := make(chan struct{}, 4)
	fail := func(name, suite, groups string) {
		for group := range strings.FieldsSeq(groups) {
			t.Run(name+"/"+group, func(t *testing.T) {
				t.Parallel()
				places <- struct{}{}
				defer func() { <-places }()
				mustFail(t, name, suite, group)
			})
		}
	}
	for name, m := range allMutants() {
		fail(name, "WithLeases", m.groups)
	}
	for name, m := range exclusiveMutants {
		fail(name, "WithoutLeases", m.groups)
	}
	for name, m := range sharedMutants {
		fail(name, "Served", m.groups)
	}
	for name, m := range transactionalMutants {
		fail(name, "Transactions", m.groups)
	}
}

// mustFail runs one group of the suite in a process of its own on a mutant.
func mustFail(t *testing.T, name, suite, group string) {
	t.Helper()
	test := "TestStoreThatKeepsTheContractPasses/" + suite + "/" + group
	pattern := "^" + strings.ReplaceAll(test, "/", "$/^") + "$"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.v", "-test.timeout=1m")
	// The race detector waits for a second before a process ends.
	cmd.Env = append(os.Environ(), mutantName+"="+name, servedAt+"=", "GORACE=atexit_sleep_ms=0")
	output, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		t.Errorf("a store that %s passes %s:\n%s", name, group, output)
	case !strings.Contains(string(output), "--- FAIL: "+test+" "):
		t.Errorf("a store that %s ends the process by something else than the failure of %s: %v\n%s", name, group, err, output)
	case strings.Contains(string(output), "panic:"):
		t.Errorf("a store that %s has the suite panic:\n%s", name, output)
	}
}
