// Package storetest judges implementations of store.Store.
//
// A store passes if [Run] does, under the race detector, in a test of its own
// package:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
//
//	func TestStoreKeepsItsContract(t *testing.T) {
//		storetest.Run(t, open, storetest.Features{Leases: true})
//	}
//
// The suite does not look for goroutines that a store leaves behind: goleak does, at
// the end. A store that applications can join with their own transactions passes
// [RunTransactional] too.
//
// Each part of the suite is a subtest, and stands for a sentence of the contract,
// which it prints when it fails. What the contract leaves open is not judged: which
// token is a record's first; whether Bury looks at fingerprints, or is refused by a
// full store; whether a takeover is; what becomes of a dead owner's record after its
// retention, for the owner.
package storetest

import (
	"os"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

// Open opens the store whose data are in dir, which is there and empty at first.
// Opened again after Close, or after the process was killed if the store is durable,
// it has what it had before. A store that keeps nothing in a folder takes dir as the
// name of its data: a schema, a prefix of keys, an entry of a table in memory. A
// store whose Traits say Shared is opened several times at once.
//
// now is the clock of the store, which may jump in both directions, and is called
// concurrently. A store that goes by another clock, such as a database's, adds to
// that one the distance between now and the process's.
//
// What cannot be opened ends the test. The suite closes what it opens. Open is called
// concurrently, with another dir each time.
type Open func(t testing.TB, dir string, now func() time.Time, o Options) store.Store

// Options are what a store is told when it is opened. A zero field means the store's
// default.
type Options struct {
	// MaxPayload is the largest payload to keep, in bytes. A store may keep larger
	// ones too.
	MaxPayload int
	// SizeLimit is how much storage the store may use, in bytes. A store that knows
	// no limit ignores it, and says so in [Features].
	SizeLimit int64
	// Tombstones is how many tombstones there may be before no more are written of
	// calls that never came.
	Tombstones int
}

// Features are what a store says of itself. The zero value is a store without leases
// that has a limit of size.
type Features struct {
	// Leases: an owner is dead when its lease has run out. Without it, an owner is
	// dead when its store has been closed or its process has ended, and then only.
	Leases bool
	// Deaths: a store with leases that learns that an owner's process has ended: soon
	// after the owner has closed its store, or was killed, its claims are those of a
	// dead owner, though their leases have not run out.
	Deaths bool
	// SizeLimit is the limit to fill the store up to, in bytes: as small as the store
	// can work with. Default 4 MiB; below 0: the store knows no limit.
	SizeLimit int64
	// Keys is how many records the largest test makes; a fiftieth of that in short mode
	// and under the race detector, to which more keys show nothing more. Default
	// 1,000,000; below 0: the test is left out.
	Keys int
	// Histories is how many random histories are compared with a model, of 60 steps
	// each. Default 30.
	Histories int
	// Patience is how long anything may take that should happen soon, such as that a
	// death is learnt. Default 1 min.
	Patience time.Duration
	// Kills is how often the process of a durable store is killed. Default 5.
	Kills int
}

func (f Features) complete() Features {
	if f.SizeLimit == 0 {
		f.SizeLimit = 4 << 20
	}
	if f.Keys == 0 {
		f.Keys = 1_000_000
	}
	if testing.Short() || underRace {
		f.Keys /= 50
	}
	if f.Histories == 0 {
		f.Histories = 30
	}
	if f.Patience == 0 {
		f.Patience = time.Minute
	}
	if f.Kills == 0 {
		f.Kills = 5
	}
	return f
}

// group is a part of the suite.
type group struct {
	name     string
	sentence string // of the contract
	run      func(*env)
	options  Options
	need     func(Features, store.Traits) bool // nil: every store is judged
}

// Run judges a store, and what it has beyond that if it is a store.Waiter. The name of
// t must be that of a test at the top of its package, or of a subtest: to kill the
// process of a durable store, and to have several processes on a shared one, the test
// binary is started again with -test.run set to it, and does what it is told when it
// gets here. A store whose data are in a server must open, in such a process, the data
// of the test that has started it: by an environment variable that this has set.
func Run(t *testing.T, open Open, f Features) {
	t.Helper()
	f = f.complete()
	if dir := os.Getenv(crashDir); dir != "" {
		crashWork(t, open, dir)
		return
	}
	if dir := os.Getenv(processDir); dir != "" {
		obey(t, open, dir)
		return
	}
	probe := newEnv(t, open, f, Options{})
	traits, waiter := probe.store.Traits(), isWaiter(probe.store)
	probe.close()
	all := [][]group{claimGroups, ownerGroups, endGroups, roomGroups, concurrencyGroups, modelGroups, crashGroups, processGroups}
	if waiter {
		all = append(all, waitGroups)
	}
	for _, groups := range all {
		for _, g := range groups {
			if g.need != nil && !g.need(f, traits) {
				continue
			}
			t.Run(g.name, func(t *testing.T) {
				t.Parallel()
				g.judge(t, open, f)
			})
		}
	}
}

func (g group) judge(t *testing.T, open Open, f Features) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the contract says: %s", g.sentence)
		}
	})
	g.run(newEnv(t, open, f, g.options))
}

func withLeases(f Features, _ store.Traits) bool    { return f.Leases }
func withoutLeases(f Features, _ store.Traits) bool { return !f.Leases }
func shared(_ Features, traits store.Traits) bool   { return traits.Shared }
func withDeaths(f Features, _ store.Traits) bool    { return f.Leases && f.Deaths }
func ofProcesses(f Features, traits store.Traits) bool {
	return f.Leases && traits.Durable && traits.Shared
}
func durable(_ Features, traits store.Traits) bool { return traits.Durable }
