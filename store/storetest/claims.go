package storetest

import (
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/warren-rpc/warren/store"
)

var claimGroups = []group{
	{name: "ClaimBegins", run: claimBegins,
		sentence: "Claim begins an attempt of the call, if nothing is in its way, and returns the record after that."},
	{name: "ClaimsRace", run: claimsRace,
		sentence: "Each method is atomic: of several claims of one key at a time one wins."},
	{name: "LosingClaims", run: losingClaims,
		sentence: "Otherwise nothing has changed, and the record says what is in the way."},
	{name: "TokensRise", run: tokensRise,
		sentence: "Token never falls in the life of a record; a takeover has the next token, and one attempt more."},
	{name: "TokenTheft", run: tokenTheft,
		sentence: "Only the owner's current token completes, renews or abandons the record."},
	{name: "Abandon", run: abandoning,
		sentence: "Abandon gives up a record in progress: it is Interrupted, with its attempts and token."},
	{name: "Undone", run: undone,
		sentence: "After Undone the record is as the claim found it: absent if it was the call's First, and else Interrupted."},
	{name: "Once", run: once,
		sentence: "Once refuses to begin a call again that was begun before."},
	{name: "Unpark", run: unpark,
		sentence: "A claim wins if the record is Parked, if c.Unpark: Attempts is then 1."},
	{name: "Fingerprints", run: fingerprints,
		sentence: "A record with another fingerprint is ErrKeyReused, whatever its state. A half that is zero equals all."},
	{name: "Scopes", run: scopes,
		sentence: "Two calls are the same one if all of the scope is."},
}

func claimBegins(e *env) {
	key := e.key()
	if r := e.get(key); r.State != store.Absent {
		e.Fatalf("Get of what was never claimed: %v", brief(r))
	}
	c := claimOf(key)
	r := e.win(c)
	want := store.Record{
		Key: key, Method: c.Method, CallID: c.CallID, State: store.InProgress, Fingerprint: c.Fingerprint,
		Token: max(1, r.Token), Attempts: 1, First: true, Owner: e.store.Owner(),
		Created: e.clock.Now(), Updated: e.clock.Now(), Expires: e.clock.Now().Add(c.Retention),
	}
	if e.f.Leases {
		want.Lease = e.clock.Now().Add(c.Lease)
	}
	if d := difference(want, r); d != "" {
		e.Errorf("the record of a first claim:%s", d)
	}
	e.unchanged(r, "nothing")
	if r := e.get(e.key()); r.State != store.Absent {
		e.Errorf("a claim made a record of another key: %v", brief(r))
	}
}

// race lets n goroutines begin f at the same time, and waits for them.
func race(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

func claimsRace(e *env) {
	const claimers, rounds = 8, 10
	key := e.key()
	before := e.get(key)
	for range rounds {
		records := make([]store.Record, claimers)
		wins := make([]bool, claimers)
		race(claimers, func(i int) {
			var err error
			if records[i], wins[i], err = e.store.Claim(e.ctx, claimOf(key)); err != nil {
				e.Errorf("Claim: %v", err)
			}
		})
		after := e.get(key)
		winners := 0
		for i, r := range records {
			if wins[i] {
				winners++
			}
			if d := difference(after, r); d != "" {
				e.Errorf("a claim (won: %v) in a race returned another record than there is now:%s", wins[i], d)
			}
		}
		if winners != 1 || after.Token <= before.Token || after.Attempts != before.Attempts+1 {
			e.Fatalf("%d claims won, and %v became %v", winners, brief(before), brief(after))
		}
		before = e.abandon(after)
	}
}

func losingClaims(e *env) {
	for state, r := range e.everyState() {
		if state == store.Interrupted {
			continue
		}
		e.clock.move(lease / 10)
		c := claimOf(r.Key)
		c.Method, c.CallID, c.Retention = "another", "other-id", time.Minute
		if d := difference(r, e.lose(c)); d != "" {
			e.Errorf("a claim that lost to a record %v returned:%s", state, d)
		}
		c.Once = true
		e.lose(c)
		c.Unpark, c.Once = state != store.Parked, false
		e.lose(c)
		e.unchanged(r, "a claim that lost")
	}
}

func tokensRise(e *env) {
	c := claimOf(e.key())
	r := e.win(c)
	for attempt := 2; attempt < 6; attempt++ {
		if attempt%2 == 0 {
			e.abandon(r)
		} else {
			e.killOwners()
		}
		e.clock.move(time.Second)
		next := e.win(c)
		if next.Token != r.Token+1 || next.Attempts != attempt {
			e.Errorf("attempt %d has token %d and Attempts %d after token %d", attempt, next.Token, next.Attempts, r.Token)
		}
		if next.Owner != e.store.Owner() || !near(next.Created, r.Created) || !near(next.Updated, e.clock.Now()) {
			e.Errorf("the record of a takeover does not say who, since when and when: %+v", next)
		}
		r = next
	}
}

// tokenTheft tries every operation with every wrong token in every state.
func tokenTheft(e *env) {
	steal := func(r store.Record, token uint64) {
		e.Helper()
		result := store.Result{State: store.Completed, Payload: []byte("stolen")}
		e.stale(e.store.Renew(e.ctx, r.Key, token, lease), "Renew with token %d of %v", token, brief(r))
		e.stale(e.store.Complete(e.ctx, r.Key, token, result, retention), "Complete with token %d of %v", token, brief(r))
		e.stale(e.store.Abandon(e.ctx, r.Key, token, store.Unended), "Abandon with token %d of %v", token, brief(r))
		e.unchanged(r, "an operation with a wrong token")
	}
	// A token of another record that is higher than all that are stolen from.
	foreign := e.win(claimOf(e.key()))
	for range 4 {
		e.abandon(foreign)
		foreign = e.win(claimOf(foreign.Key))
	}
	taken := e.win(claimOf(e.key()))
	e.abandon(taken)
	taken = e.win(claimOf(taken.Key))
	for _, token := range []uint64{0, taken.Token - 1, taken.Token + 1, foreign.Token, math.MaxInt64, math.MaxUint64} {
		steal(taken, token)
	}
	for state, r := range e.everyState() {
		if state != store.InProgress {
			steal(r, r.Token)
			steal(r, r.Token+1)
		}
	}
	steal(e.get(e.key()), 0)
	steal(e.get(e.key()), 1)
	if r := e.end(taken, store.Completed, []byte("mine")); string(r.Payload) != "mine" {
		e.Errorf("after all thefts the owner's end is %v", brief(r))
	}
	steal(e.get(taken.Key), taken.Token)
}

func abandoning(e *env) {
	r := e.win(claimOf(e.key()))
	e.clock.move(time.Second)
	got := e.abandon(r)
	want := r
	want.State, want.Lease, want.Updated = store.Interrupted, time.Time{}, e.clock.Now()
	if d := difference(want, got); d != "" {
		e.Errorf("the record that was given up:%s", d)
	}
}

func undone(e *env) {
	undo := func(r store.Record) store.Record {
		e.Helper()
		if err := e.store.Abandon(e.ctx, r.Key, r.Token, store.Undone); err != nil {
			e.Fatalf("Abandon: %v", err)
		}
		return e.get(r.Key)
	}
	c := claimOf(e.key())
	c.Once = true
	last := uint64(0)
	for range 3 {
		r := e.win(c) // it is as new each time, but for its token
		if r.Attempts != 1 || !r.First || r.Token <= last {
			e.Errorf("a claim after one that was undone: %v after token %d", brief(r), last)
		}
		last = r.Token
		e.clock.move(time.Second)
		if got := undo(r); got.State != store.Absent {
			e.Errorf("a call whose only claim was undone is %v", brief(got))
		}
		e.replaced(r)
	}
	if n := e.bury(c.Key); n.State != store.Absent {
		e.Errorf("a call whose only claim was undone is buried as %v", brief(n))
	}
	e.lose(c)
	e.reopen()
	e.lose(c)

	// What was begun before stays begun.
	c = claimOf(e.key())
	before := e.abandon(e.win(c))
	again := e.win(c)
	if again.First {
		e.Errorf("the second claim is the call's first: %v", brief(again))
	}
	e.clock.move(time.Second)
	before.Token, before.First, before.Updated, before.Expires = again.Token, false, e.clock.Now(), again.Expires
	if d := difference(before, undo(again)); d != "" {
		e.Errorf("the record whose second claim was undone:%s", d)
	}
	c.Once = true
	e.lose(c)

	// A first claim whose owner died was begun, whatever becomes of the next.
	c = claimOf(e.key())
	e.win(c)
	e.killOwners()
	if got := undo(e.win(c)); got.State != store.Interrupted || got.Attempts != 1 {
		e.Errorf("a call that was begun by a dead owner, and then undone, is %v", brief(got))
	}
}

func once(e *env) {
	c := claimOf(e.key())
	c.Once = true
	r := e.win(c)
	e.killOwners()
	for range 2 {
		if got := e.lose(c); got.State != store.Interrupted || got.Token != r.Token || got.Attempts != 1 {
			e.Errorf("a claim with Once of what was begun returned %v", brief(got))
		}
	}
	c.Once = false
	r = e.win(c)
	e.abandon(r)
	c.Once = true
	e.lose(c)
	c.Unpark = true
	e.lose(c)
}

func unpark(e *env) {
	c := claimOf(e.key())
	r := e.win(c)
	e.abandon(r)
	r = e.end(e.win(c), store.Parked, []byte("poison"))
	if got := e.lose(c); got.State != store.Parked || got.Attempts != 2 || string(got.Payload) != "poison" {
		e.Errorf("a claim of what is parked returned %v", brief(got))
	}
	c.Unpark = true
	got := e.win(c)
	if got.Attempts != 1 || got.Token <= r.Token {
		e.Errorf("what was taken out of Parked is %v; before it was %v", brief(got), brief(r))
	}
	if got.Payload != nil || got.Retained || got.Size != 0 {
		e.Errorf("what was taken out of Parked still has an end: %v", brief(got))
	}
	e.unchanged(got, "nothing")
	if again := e.lose(c); again.State != store.InProgress {
		e.Errorf("a second claim with Unpark returned %v", brief(again))
	}
	e.end(got, store.Completed, nil)
}

func fingerprints(e *env) {
	records := e.everyState()
	for state, r := range records {
		c := claimOf(r.Key)
		c.Fingerprint = fingerprint("another request")
		c.Unpark = true
		if _, won, err := e.store.Claim(e.ctx, c); !errors.Is(err, store.ErrKeyReused) || won {
			e.Errorf("a claim for another request of what is %v: won %v, error %v; want ErrKeyReused", state, won, err)
		}
		e.unchanged(r, "a claim for another request")
		c.Fingerprint = store.Fingerprint{}
		c.Unpark = false
		if _, _, err := e.store.Claim(e.ctx, c); err != nil {
			e.Errorf("a claim without a fingerprint of what is %v: %v", state, err)
		}
	}
	// The claim without a fingerprint has taken over the interrupted one.
	c := claimOf(records[store.Interrupted].Key)
	c.Fingerprint = fingerprint("another request")
	if _, _, err := e.store.Claim(e.ctx, c); !errors.Is(err, store.ErrKeyReused) {
		e.Errorf("after a claim without a fingerprint, one for another request: error %v; want ErrKeyReused", err)
	}
	c = claimOf(e.key())
	c.Fingerprint = store.Fingerprint{}
	r := e.win(c)
	if r.Fingerprint != (store.Fingerprint{}) {
		e.Errorf("a record got a fingerprint from nowhere: %x", r.Fingerprint)
	}
	c.Fingerprint = fingerprint("any request")
	e.lose(c)
	e.abandon(r)
	e.win(c)
}

func scopes(e *env) {
	parts := [][6]string{
		{"a", "b", "c", "d", "e"}, {"ab", "", "c", "d", "e"}, {"", "ab", "c", "d", "e"}, {"a", "bc", "", "d", "e"},
		{"a", "b", "cd", "", "e"}, {"a", "b", "c", "de", ""}, {"a", "b", "c", "", "de"}, {"abcde", "", "", "", ""},
		{"", "", "", "", "abcde"}, {"", "", "", "", ""}, {"\x00", "", "", "", ""}, {"", "\x00", "", "", ""},
		{"a\x01b", "", "", "", ""}, {"a", "b", "", "", ""}, {"a", "", "b", "", ""}, {"b", "a", "", "", ""},
		{strings.Repeat("a", 127), "a", "", "", ""}, {strings.Repeat("a", 128), "", "", "", ""},
		{strings.Repeat("a", 300), "", "", "", ""}, {strings.Repeat("a", 299), "a", "", "", ""},
		{"a", "b", "c", "d", "e", "f"}, {"a", "b", "c", "d", "", "ef"}, {"a", "b", "c", "", "", "de"}, {"", "", "", "", "", "\x00"},
	}
	seen := make(map[store.Key]store.Scope)
	for _, p := range parts {
		s := store.Scope{Namespace: p[0], Method: p[1], CallID: p[2], Caller: p[3], ReplyTo: p[4], Tenant: p[5]}
		if other, taken := seen[s.Key()]; taken {
			e.Errorf("%+v and %+v have the same key", s, other)
		}
		seen[s.Key()] = s
		if r := e.win(claimOf(s.Key())); r.Key != s.Key() {
			e.Errorf("the record of %v has the key %v", s.Key(), r.Key)
		}
	}
}
