package storetest

import (
	"regexp"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/store"
)

var ownerGroups = []group{
	{name: "LeaseEnds", run: leaseEnds, need: withLeases,
		sentence: "An owner is dead when its lease has run out. Who was believed dead and was replaced finds its token stale."},
	{name: "RenewExtends", run: renewExtends, need: withLeases,
		sentence: "Renew extends the lease of a record in progress, from now on."},
	{name: "LateOwner", run: lateOwner, need: withLeases,
		sentence: "An owner whose lease has run out and who has not been replaced still completes."},
	{name: "TakeoversRace", run: takeoversRace,
		sentence: "Of several claims of one key at a time one wins."},
	{name: "TokensOutliveRecords", run: tokensOutliveRecords, need: withLeases,
		sentence: "Only the owner's current token completes, renews or abandons the record."},
	{name: "NoLeases", run: noLeases, need: withoutLeases,
		sentence: "A store without leases does nothing but check the token. Only the end of its process makes an owner dead."},
	{name: "OwnerIsNew", run: ownerIsNew,
		sentence: "Owner is who this store's claims belong to: another each time that a store is opened."},
	{name: "IdentityStays", run: identityStays,
		sentence: "Identity tells this store from all others. It stays the same for as long as its data live."},
	{name: "ReopenEndsOwners", run: reopenEndsOwners,
		sentence: "What is in progress with a dead owner is returned as Interrupted; the next claim has the next token."},
	{name: "ReopenKeeps", run: reopenKeeps,
		sentence: "Every method that returns nil has its change on stable storage. Created does not change while the data live."},
	{name: "SeveralOwners", run: severalOwners, need: shared,
		sentence: "Several processes may use the store at the same time."},
	{name: "ClosedOwnerDies", run: closedOwnerDies, need: withDeaths,
		sentence: "An owner is dead when its lease has run out, or the store has learnt that its process has ended."},
	{name: "ClockJumps", run: clockJumps,
		sentence: "Only the owner's current token completes the record. What has ended is kept for retention."},
}

// replaced checks that the record's owner can do nothing to it any more.
func (e *env) replaced(old store.Record) {
	e.Helper()
	before := e.get(old.Key)
	result := store.Result{State: store.Completed, Payload: []byte("late")}
	e.stale(e.store.Renew(e.ctx, old.Key, old.Token, lease), "Renew by an owner that was replaced")
	e.stale(e.store.Complete(e.ctx, old.Key, old.Token, result, retention), "Complete by an owner that was replaced")
	e.stale(e.store.Abandon(e.ctx, old.Key, old.Token, store.Unended), "Abandon by an owner that was replaced")
	e.unchanged(before, "an owner that was replaced")
}

func leaseEnds(e *env) {
	c := claimOf(e.key())
	r := e.win(c)
	e.clock.move(lease - 2*instant)
	if got := e.lose(c); got.State != store.InProgress {
		e.Errorf("just before the lease ends, a claim finds %v", brief(got))
	}
	e.unchanged(r, "time within the lease")
	e.clock.move(4 * instant)
	got := e.get(c.Key)
	want := r
	want.State, want.Lease, want.Updated = store.Interrupted, time.Time{}, got.Updated
	if d := difference(want, got); d != "" {
		e.Errorf("after the lease:%s", d)
	}
	next := e.win(c)
	if next.Token != r.Token+1 || next.Attempts != 2 || !near(next.Lease, e.clock.Now().Add(lease)) {
		e.Errorf("the takeover of token %d is %+v", r.Token, next)
	}
	e.replaced(r)
	e.end(next, store.Completed, []byte("done"))
	e.replaced(r)
	e.replaced(next)
}

func renewExtends(e *env) {
	c := claimOf(e.key())
	r := e.win(c)
	for range 5 {
		e.clock.move(lease * 2 / 3)
		if err := e.store.Renew(e.ctx, c.Key, r.Token, lease); err != nil {
			e.Fatalf("Renew: %v", err)
		}
		got := e.get(c.Key)
		want := r
		want.Lease, want.Updated, want.Expires = e.clock.Now().Add(lease), got.Updated, got.Expires
		if d := difference(want, got); d != "" {
			e.Errorf("after Renew:%s", d)
		}
		e.lose(c)
	}
	if err := e.store.Renew(e.ctx, c.Key, r.Token, 10*lease); err != nil {
		e.Errorf("Renew for longer: %v", err)
	}
	e.clock.move(9 * lease)
	e.lose(c)
	if err := e.store.Renew(e.ctx, c.Key, r.Token, lease); err != nil {
		e.Errorf("Renew for shorter: %v", err)
	}
	e.clock.move(lease + instant)
	e.win(c)
}

func lateOwner(e *env) {
	r := e.win(claimOf(e.key()))
	e.clock.move(10 * lease)
	if got := e.end(r, store.Completed, []byte("late")); got.State != store.Completed || string(got.Payload) != "late" {
		e.Errorf("completed late: %v", brief(got))
	}
	e.lose(claimOf(r.Key))
}

func takeoversRace(e *env) {
	const claimers, rounds = 8, 5
	r := e.win(claimOf(e.key()))
	for range rounds {
		e.killOwners()
		var winners atomic.Int32
		race(claimers, func(int) {
			_, won, err := e.store.Claim(e.ctx, claimOf(r.Key))
			if err != nil {
				e.Errorf("Claim: %v", err)
			}
			if won {
				winners.Add(1)
			}
		})
		next := e.get(r.Key)
		if winners.Load() != 1 || next.Token != r.Token+1 || next.Attempts != r.Attempts+1 {
			e.Fatalf("%d claims took over, and %v became %v", winners.Load(), brief(r), brief(next))
		}
		e.replaced(r)
		r = next
	}
}

// Who holds the token of a record that was forgotten does not own the one that came
// after it.
func tokensOutliveRecords(e *env) {
	for _, sweep := range []bool{false, true} {
		c := claimOf(e.key())
		r := e.win(c)
		e.clock.move(retention + instant)
		if sweep {
			e.sweep()
		}
		if next := e.win(c); next.Attempts != 1 || next.Token == r.Token {
			e.Errorf("swept: %v; the record after %v is %v", sweep, brief(r), brief(next))
		}
		e.replaced(r)
	}
}

func noLeases(e *env) {
	c := claimOf(e.key())
	r := e.win(c)
	e.clock.move(100 * lease)
	if err := e.store.Renew(e.ctx, c.Key, r.Token, lease); err != nil {
		e.Errorf("Renew: %v", err)
	}
	e.lose(c)
	e.unchanged(r, "time, or Renew,")
	e.reopen()
	if next := e.win(c); next.Token != r.Token+1 {
		e.Errorf("after the owner's end, the claim after token %d has %d", r.Token, next.Token)
	}
	e.replaced(r)
}

func ownerIsNew(e *env) {
	seen := make(map[string]bool)
	for range 4 {
		owner := e.store.Owner()
		r := e.win(claimOf(e.key()))
		if owner == "" || seen[owner] || e.store.Owner() != owner || r.Owner != owner {
			e.Errorf("the owner is %q, then %q, and %q in its claim; owners before: %v", owner, e.store.Owner(), r.Owner, seen)
		}
		seen[owner] = true
		e.reopen()
	}
}

var storeID = regexp.MustCompile(`^[A-Za-z0-9]{1,32}$`)

func identityStays(e *env) {
	id := e.store.Identity()
	if !storeID.MatchString(id.ID) || !near(id.Created, e.stats().Created) {
		e.Errorf("the store is %+v, and was made at %v", id, e.stats().Created)
	}
	e.win(claimOf(e.key()))
	e.clock.move(time.Hour)
	e.reopen()
	if again := e.store.Identity(); again.ID != id.ID || !near(again.Created, id.Created) {
		e.Errorf("opened again, the store is %+v; it was %+v", again, id)
	}
	other := newEnv(e.tb, e.open, e.f, e.options)
	if other.store.Identity().ID == id.ID {
		e.Errorf("two stores have the ID %s", id.ID)
	}
}

func reopenEndsOwners(e *env) {
	c := claimOf(e.key())
	kept, refused := claimOf(e.key()), claimOf(e.key())
	r := e.win(c)
	e.win(refused)
	e.end(e.win(kept), store.Completed, []byte("kept"))
	e.reopen()
	switch {
	case e.f.Deaths:
		e.learnsDeath(c.Key)
		e.learnsDeath(refused.Key)
	case e.f.Leases:
		// Closing ends no lease.
		e.unchanged(r, "closing and opening")
		e.lose(c)
		e.clock.move(lease + instant)
	}
	got := e.get(c.Key)
	want := r
	want.State, want.Lease, want.Updated = store.Interrupted, time.Time{}, got.Updated
	if d := difference(want, got); d != "" {
		e.Errorf("what was in progress is, after its owner's end:%s", d)
	}
	refused.Once = true
	if got := e.lose(refused); got.State != store.Interrupted || got.Attempts != 1 {
		e.Errorf("a claim with Once of what was in progress returned %v", brief(got))
	}
	for attempt := 2; attempt < 5; attempt++ {
		next := e.win(c)
		if next.Token != r.Token+1 || next.Attempts != attempt || next.Owner != e.store.Owner() {
			e.Errorf("the takeover of token %d is %v of owner %s", r.Token, brief(next), next.Owner)
		}
		e.replaced(r)
		r = next
		e.reopen()
		e.killOwners()
	}
	if got := e.lose(kept); string(got.Payload) != "kept" {
		e.Errorf("what had ended is %v", brief(got))
	}
}

func reopenKeeps(e *env) {
	records := e.everyState()
	delete(records, store.InProgress)
	large := e.end(e.win(claimOf(e.key())), store.Completed, payload(100_000))
	created := e.stats().Created
	if created.IsZero() || created.After(e.clock.Now()) {
		e.Errorf("the store was made at %v; now it is %v", created, e.clock.Now())
	}
	e.clock.move(time.Minute)
	e.reopen()
	for _, r := range records {
		e.unchanged(r, "closing and opening")
	}
	e.unchanged(large, "closing and opening")
	for state, r := range records {
		if state != store.Interrupted {
			e.lose(claimOf(r.Key))
		}
	}
	if got := e.stats().Created; !near(got, created) {
		e.Errorf("the store was made at %v; after it was opened again, at %v", created, got)
	}
}

func severalOwners(e *env) {
	first, second := e.store, e.another()
	if first.Owner() == second.Owner() {
		e.Errorf("two open stores have the owner %q", first.Owner())
	}
	c := claimOf(e.key())
	r := e.win(c)
	e.store = second
	e.unchanged(r, "another owner's Get")
	if got := e.lose(c); got.Owner != first.Owner() {
		e.Errorf("what %q has claimed belongs to %q", first.Owner(), got.Owner)
	}
	e.killOwners()
	next := e.win(c)
	if next.Owner != second.Owner() || next.Token != r.Token+1 {
		e.Errorf("the takeover by %q of token %d is %v of %q", second.Owner(), r.Token, brief(next), next.Owner)
	}
	e.store = first
	e.replaced(r)
	e.store = second
	done := e.end(next, store.Completed, []byte("second"))
	e.store = first
	e.unchanged(done, "another owner's Get")

	stores := []store.Store{first, second}
	for range 20 {
		key := e.key()
		var winners atomic.Int32
		race(len(stores), func(i int) {
			if _, won, err := stores[i].Claim(e.ctx, claimOf(key)); err != nil {
				e.Errorf("Claim: %v", err)
			} else if won {
				winners.Add(1)
			}
		})
		if winners.Load() != 1 {
			e.Errorf("%d of two owners have claimed one key", winners.Load())
		}
	}
}

// closedOwnerDies has an owner close its store, with its lease far from its end, while
// another looks.
func closedOwnerDies(e *env) {
	first, second := e.store, e.another()
	c, refused, done := claimOf(e.key()), claimOf(e.key()), claimOf(e.key())
	c.Lease, refused.Lease, refused.Once = time.Hour, time.Hour, true
	r := e.win(c)
	e.win(refused)
	ended := e.end(e.win(done), store.Completed, []byte("before the end"))
	e.store = second
	mine := e.win(claimOf(e.key()))
	e.store = first
	e.close()
	e.store = second
	e.learnsDeath(c.Key)
	e.learnsDeath(refused.Key)
	if got := e.lose(refused); got.State != store.Interrupted || got.Attempts != 1 {
		e.Errorf("a claim with Once of what an owner left that has closed its store returned %v", brief(got))
	}
	if next := e.win(c); next.Token != r.Token+1 || next.Owner != second.Owner() {
		e.Errorf("the takeover of token %d is %v of %q", r.Token, brief(next), next.Owner)
	}
	e.replaced(r)
	e.unchanged(ended, "the end of an owner")
	e.unchanged(mine, "the end of another owner")
}

func clockJumps(e *env) {
	done := e.end(e.win(claimOf(e.key())), store.Completed, []byte("done"))
	buried := e.key()
	e.bury(buried)
	c := claimOf(e.key())
	r := e.win(c)
	for _, jump := range []time.Duration{time.Hour, -time.Hour, -time.Hour, time.Hour} {
		e.clock.move(jump)
		e.unchanged(done, "a jump of the clock")
		e.lose(claimOf(done.Key))
		if got := e.lose(claimOf(buried)); got.State != store.Tombstone {
			e.Errorf("after a jump of the clock, a tombstone is %v", brief(got))
		}
		got, won, err := e.store.Claim(e.ctx, c)
		switch {
		case err != nil:
			e.Fatalf("Claim: %v", err)
		case won && !e.f.Leases:
			e.Errorf("the owner of a store without leases is dead after a jump of %v", jump)
		case won && got.Token != r.Token+1:
			e.Errorf("after a jump of %v, the claim after token %d has %d", jump, r.Token, got.Token)
		case won:
			e.replaced(r)
			r = got
		case got.Token != r.Token || got.State != store.InProgress:
			e.Errorf("after a jump of %v, a claim that lost to token %d finds %v", jump, r.Token, brief(got))
		}
		e.sweep()
	}
	if got := e.end(r, store.Completed, []byte("jumped")); string(got.Payload) != "jumped" {
		e.Errorf("completed after jumps of the clock: %v", brief(got))
	}
}
