package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/store"
)

const maxPayload = 64 << 10

var endGroups = []group{
	{name: "Completed", run: completed,
		sentence: "Complete ends a record in progress. It is kept for retention from now on."},
	{name: "EndsRace", run: endsRace,
		sentence: "ErrStale if the record is not in progress any more."},
	{name: "PayloadSizes", run: payloadSizes, options: Options{MaxPayload: maxPayload},
		sentence: "Payload is what the call ended with, byte for byte, or nil if it was too large to keep. Size and Digest are the payload's."},
	{name: "PayloadIsCopied", run: payloadIsCopied,
		sentence: "Payload must not be changed until the store has returned; a record's does not change."},
	{name: "Bury", run: burying,
		sentence: "Bury writes a tombstone if the record is absent or Interrupted, and returns the record that was there before."},
	{name: "BuriedCalls", run: buriedCalls,
		sentence: "A tombstone binds no request with another proof; a record with another proof is ErrKeyReused."},
	{name: "BuriedKeepsItsTime", run: buriedKeepsItsTime,
		sentence: "An Interrupted record becomes a tombstone, and is kept at least as long as before."},
	{name: "BuryRacesClaim", run: buryRacesClaim,
		sentence: "Bury makes sure that the call never runs from here on."},
	{name: "InvalidArguments", run: invalidArguments,
		sentence: "Lease and retention are above 0; a result's State is Completed, Failed or Parked."},
	{name: "Stats", run: statsAgree,
		sentence: "Records is how many there are in each state, those with dead owners among Interrupted."},
}

// payload returns random bytes, the same for each size.
func payload(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)}).Read(b) // it never fails
	return b
}

func completed(e *env) {
	for _, state := range []store.State{store.Completed, store.Failed, store.Parked} {
		c := claimOf(e.key())
		c.Retention = time.Minute
		r := e.win(c)
		e.clock.move(time.Second)
		body := []byte("the end: " + state.String())
		got := e.end(r, state, body)
		want := r
		want.State, want.Payload, want.Size, want.Digest = state, body, len(body), sha256.Sum256(body)
		want.Retained, want.Lease = true, time.Time{}
		want.Updated, want.Expires = e.clock.Now(), e.clock.Now().Add(retention)
		if d := difference(want, got); d != "" {
			e.Errorf("what ended as %v:%s", state, d)
		}
		if d := difference(got, e.lose(c)); d != "" {
			e.Errorf("a claim of what ended as %v returned:%s", state, d)
		}
		e.clock.move(time.Minute)
		e.unchanged(got, "the end of the claim's retention")
		e.replaced(r)
	}
}

func endsRace(e *env) {
	for round := range 12 {
		givesUp := round % 6 // a scheduler may well have a favourite
		r := e.win(claimOf(e.key()))
		var ends atomic.Int32
		var last atomic.Int64
		race(6, func(i int) {
			var err error
			if i == givesUp {
				err = e.store.Abandon(e.ctx, r.Key, r.Token, store.Unended)
			} else {
				result := store.Result{State: store.Completed, Payload: []byte{byte(i)}}
				err = e.store.Complete(e.ctx, r.Key, r.Token, result, retention)
			}
			if err != nil {
				e.stale(err, "an end that lost")
				return
			}
			ends.Add(1)
			last.Store(int64(i))
		})
		got := e.get(r.Key)
		if ends.Load() != 1 {
			e.Fatalf("%d ends of one record succeeded: %v", ends.Load(), brief(got))
		}
		i := int(last.Load())
		if i == givesUp && got.State != store.Interrupted || i != givesUp && !bytes.Equal(got.Payload, []byte{byte(i)}) {
			e.Errorf("end %d succeeded, and the record is %v", i, brief(got))
		}
	}
}

func payloadSizes(e *env) {
	var sizes []int
	for _, page := range []int{4 << 10, 8 << 10, 16 << 10, 32 << 10, maxPayload} {
		sizes = append(sizes, page-1, page, page+1)
	}
	sizes = append(sizes, 0, 1, 2, 1000, 2048, 10*maxPayload)
	ended := make(map[int]store.Record)
	check := func(size int, r store.Record) {
		e.Helper()
		want := payload(size)
		if r.Size != size || r.Digest != sha256.Sum256(want) {
			e.Errorf("%d bytes: Size %d, Digest %x; want %x", size, r.Size, r.Digest, sha256.Sum256(want))
		}
		switch {
		case r.Retained && !bytes.Equal(r.Payload, want):
			e.Errorf("%d bytes: the payload came back changed", size)
		case !r.Retained && r.Payload != nil:
			e.Errorf("%d bytes: not retained, and yet there is a payload", size)
		case !r.Retained && size <= maxPayload:
			e.Errorf("%d bytes: not retained; payloads of up to %d bytes are to be", size, maxPayload)
		}
	}
	for _, size := range sizes {
		r := e.end(e.win(claimOf(e.key())), store.Completed, payload(size))
		check(size, r)
		check(size, e.lose(claimOf(r.Key)))
		ended[size] = r
	}
	e.reopen()
	for size, r := range ended {
		check(size, e.get(r.Key))
	}
}

func payloadIsCopied(e *env) {
	const size = 3000
	buffer := payload(size)
	r := e.end(e.win(claimOf(e.key())), store.Completed, buffer)
	lost := e.lose(claimOf(r.Key))
	clear(buffer)
	// Whatever room the first payload has must not be given to others.
	for range 20 {
		e.end(e.win(claimOf(e.key())), store.Failed, bytes.Repeat([]byte{1}, size))
	}
	e.clock.move(retention + instant)
	e.sweep()
	for range 20 {
		e.end(e.win(claimOf(e.key())), store.Failed, bytes.Repeat([]byte{2}, size))
	}
	for what, got := range map[string]store.Record{"Get": r, "Claim": lost} {
		if !bytes.Equal(got.Payload, payload(size)) {
			e.Errorf("the payload that %s had returned has changed since", what)
		}
	}
	kept := e.end(e.win(claimOf(e.key())), store.Completed, payload(size))
	e.close()
	if !bytes.Equal(kept.Payload, payload(size)) {
		e.Errorf("the payload that Get had returned changed when the store was closed")
	}
}

func burying(e *env) {
	for state, r := range e.everyState() {
		e.clock.move(lease / 10)
		before := e.bury(r.Key)
		if d := difference(r, before); d != "" {
			e.Errorf("Bury of what is %v returned as the record before:%s", state, d)
		}
		if state != store.Interrupted {
			e.unchanged(r, "Bury")
			continue
		}
		got := e.get(r.Key)
		want := r
		want.State, want.Updated, want.Expires = store.Tombstone, e.clock.Now(), e.clock.Now().Add(retention)
		if d := difference(want, got); d != "" {
			e.Errorf("what was interrupted and buried:%s", d)
		}
	}
	b := claimOf(e.key())
	b.Lease, b.Once = 0, true // of no use here
	if before, err := e.store.Bury(e.ctx, b); err != nil || before.State != store.Absent {
		e.Fatalf("Bury of what is absent returned %v, error %v", brief(before), err)
	}
	got := e.get(b.Key.Tombstone(b.Fingerprint))
	if got.State != store.Tombstone || got.Fingerprint != store.ByProof(b.Fingerprint.Proof()) || got.Method != b.Method || got.CallID != b.CallID || got.Attempts != 0 || got.Token != 0 ||
		!got.Lease.IsZero() || !near(got.Created, e.clock.Now()) || !near(got.Expires, e.clock.Now().Add(retention)) {
		e.Errorf("the tombstone of what was absent is %+v", got)
	}
	if before := e.bury(b.Key); before.State != store.Tombstone {
		e.Errorf("buried twice, the second Bury found %v", brief(before))
	}
	e.unchanged(got, "a second Bury")
	for _, change := range []func(*store.Claim){
		func(*store.Claim) {}, func(c *store.Claim) { c.Once = true }, func(c *store.Claim) { c.Unpark = true },
		func(c *store.Claim) { c.Fingerprint[len(c.Fingerprint)-1]++ }, // with other headers
	} {
		c := claimOf(b.Key)
		change(&c)
		if d := difference(got, e.lose(c)); d != "" {
			e.Errorf("a claim of a tombstone returned:%s", d)
		}
	}
	dead := e.win(claimOf(e.key()))
	e.killOwners()
	if before := e.bury(dead.Key); before.State != store.Interrupted || before.Token != dead.Token {
		e.Errorf("Bury of what a dead owner had begun found %v", brief(before))
	}
	e.replaced(dead)
	e.lose(claimOf(dead.Key))
}

// buriedCalls: a tombstone binds one call, whatever becomes of others with its key.
func buriedCalls(e *env) {
	b, c := claimOf(e.key()), claimOf(e.key())
	c.Key, c.Fingerprint = b.Key, fingerprint("another request")
	e.bury(b.Key)
	tomb := e.get(b.Key.Tombstone(b.Fingerprint))
	reused := func(c store.Claim) {
		e.Helper()
		if _, won, err := e.store.Claim(e.ctx, c); !errors.Is(err, store.ErrKeyReused) || won {
			e.Errorf("a claim with the key of another call: won %v, error %v; want ErrKeyReused", won, err)
		}
	}
	if err := e.store.Abandon(e.ctx, b.Key, e.win(c).Token, store.Undone); err != nil {
		e.Errorf("Abandon: %v", err)
	}
	e.lose(b)
	r := e.win(c)
	reused(b)
	for _, state := range []store.State{store.InProgress, store.Completed} {
		if state == store.Completed {
			r = e.end(r, state, []byte("a secret"))
		}
		third := b
		third.Fingerprint = fingerprint("a third request")
		if got, err := e.store.Bury(e.ctx, third); !errors.Is(err, store.ErrKeyReused) || got.Payload != nil {
			e.Errorf("Bury with the key of another call, which is %v: %v, error %v", state, brief(got), err)
		}
		if got := e.get(third.Key.Tombstone(third.Fingerprint)); got.State != store.Absent {
			e.Errorf("it has left %v", brief(got))
		}
		if d := difference(tomb, e.bury(b.Key)); d != "" {
			e.Errorf("Bury of what was buried before another call with its key was begun:%s", d)
		}
		if before, err := e.store.Bury(e.ctx, c); err != nil || before.State != state {
			e.Errorf("Bury of the other call found %v, error %v", brief(before), err)
		}
	}
	reused(b)
	e.unchanged(r, "Bury")
	e.unchanged(tomb, "a claim of another call")
	e.reopen()
	e.unchanged(tomb, "opening again")
	reused(b)
	e.clock.move(retention + instant)
	e.win(b)
}

// buriedKeepsItsTime: a question about a call that was begun does not shorten the
// memory of that.
func buriedKeepsItsTime(e *env) {
	r := e.abandon(e.win(claimOf(e.key())))
	b := claimOf(r.Key)
	b.Retention = time.Second
	if _, err := e.store.Bury(e.ctx, b); err != nil {
		e.Fatalf("Bury: %v", err)
	}
	if got := e.get(r.Key); got.State != store.Tombstone || !near(got.Expires, r.Expires) {
		e.Errorf("buried for a second, what was to be kept until %v is %+v", r.Expires, got)
	}
}

func buryRacesClaim(e *env) {
	for range 30 {
		key := e.key()
		var won atomic.Bool
		var before atomic.Value
		race(2, func(i int) {
			if i == 0 {
				_, w, err := e.store.Claim(e.ctx, claimOf(key))
				if err != nil {
					e.Errorf("Claim: %v", err)
				}
				won.Store(w)
				return
			}
			r, err := e.store.Bury(e.ctx, claimOf(key))
			if err != nil {
				e.Errorf("Bury: %v", err)
			}
			before.Store(r.State)
		})
		got, tomb := e.get(key), e.get(key.Tombstone(claimOf(key).Fingerprint))
		buried := before.Load() == store.Absent && got.State == store.Absent && tomb.State == store.Tombstone && !won.Load()
		begun := before.Load() == store.InProgress && got.State == store.InProgress && won.Load()
		if !buried && !begun {
			e.Errorf("claimed: %v; Bury found %v; the record is %v", won.Load(), before.Load(), brief(got))
		}
	}
}

func invalidArguments(e *env) {
	refused := func(err error, what string) {
		e.Helper()
		if err == nil {
			e.Errorf("%s was accepted", what)
		}
	}
	absent := e.key()
	_, _, err := e.store.Claim(e.ctx, store.Claim{Key: absent, Lease: lease})
	refused(err, "a claim without retention")
	_, _, err = e.store.Claim(e.ctx, store.Claim{Key: absent, Lease: lease, Retention: -1})
	refused(err, "a claim with a retention below 0")
	if e.f.Leases {
		_, _, err = e.store.Claim(e.ctx, store.Claim{Key: absent, Retention: retention})
		refused(err, "a claim without a lease")
		_, _, err = e.store.Claim(e.ctx, store.Claim{Key: absent, Retention: retention, Lease: -1})
		refused(err, "a claim with a lease below 0")
	}
	b := claimOf(absent)
	b.Retention = 0
	_, err = e.store.Bury(e.ctx, b)
	refused(err, "a tombstone without retention")
	b = claimOf(absent)
	b.Fingerprint = store.Fingerprint{len(b.Fingerprint) - 1: 1}
	_, err = e.store.Bury(e.ctx, b)
	refused(err, "a tombstone without a proof")
	if r := e.get(absent); r.State != store.Absent {
		e.Errorf("what was refused has left %v", brief(r))
	}
	r := e.win(claimOf(e.key()))
	for _, state := range []store.State{store.Absent, store.InProgress, store.Interrupted, store.Tombstone, 7, 255} {
		result := store.Result{State: state, Payload: []byte("no end")}
		refused(e.store.Complete(e.ctx, r.Key, r.Token, result, retention), "an end as "+state.String())
	}
	good := store.Result{State: store.Completed}
	refused(e.store.Complete(e.ctx, r.Key, r.Token, good, 0), "an end without retention")
	refused(e.store.Complete(e.ctx, r.Key, r.Token, good, -time.Hour), "an end with a retention below 0")
	if e.f.Leases {
		refused(e.store.Renew(e.ctx, r.Key, r.Token, 0), "a lease of 0")
		refused(e.store.Renew(e.ctx, r.Key, r.Token, -lease), "a lease below 0")
	}
	e.unchanged(r, "what was refused")
}

func statsAgree(e *env) {
	if stats := e.stats(); stats.Total() != 0 || len(stats.Records) != 0 {
		e.Errorf("an empty store has %v", stats.Records)
	}
	var keys []store.Key
	for range 3 {
		for _, r := range e.everyState() {
			keys = append(keys, r.Key)
		}
	}
	agree := func(when string) {
		e.Helper()
		want := make(map[store.State]int)
		for _, key := range keys {
			if state := e.get(key).State; state != store.Absent {
				want[state]++
			}
		}
		got := e.stats()
		same := len(got.Records) == len(want)
		for state, n := range want {
			same = same && got.Records[state] == n
		}
		if !same {
			e.Errorf("%s there are %v; Stats has %v", when, want, got.Records)
		}
		if got.Size < 0 || got.Limit < 0 {
			e.Errorf("%s: Size %d, Limit %d", when, got.Size, got.Limit)
		}
	}
	agree("after records in every state were made")
	e.killOwners()
	agree("after the owners' death")
	e.reopen()
	agree("after opening again")
	e.clock.move(retention + instant)
	e.sweep()
	agree("after all was forgotten")
}
