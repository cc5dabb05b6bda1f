package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warren-rpc/warren/store"
)

// The steps of a history: each calls the store and the model, and compares.

func (h *history) claim(key store.Key) string {
	h.Helper()
	c := claimOf(key)
	c.Fingerprint = fingerprint([]string{"", "a", "b"}[h.pick(3)])
	c.Lease = h.duration(lease, 20*lease)
	c.Retention = h.duration(10*time.Second, time.Minute, retention)
	c.Once, c.Unpark = h.pick(3) == 0, h.pick(3) == 0
	what := fmt.Sprintf("claim %x print %.2x once %v unpark %v", key[:2], c.Fingerprint, c.Once, c.Unpark)
	before := h.view(key)
	got, won, err := h.store.Claim(h.ctx, c)
	if before.State != store.Absent && !before.Fingerprint.Matches(c.Fingerprint) {
		if !errors.Is(err, store.ErrKeyReused) || won {
			h.Fatalf("%s: won %v, error %v; want ErrKeyReused", what, won, err)
		}
		return what
	}
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
	if t := h.view(key.Tombstone(c.Fingerprint)); before.State == store.Absent && c.Fingerprint.Proven() && t.State != store.Absent {
		if d := difference(t, got); d != "" || won {
			h.Fatalf("%s: won %v, of a call that was buried:%s", what, won, d)
		}
		return what
	}
	if before.State == store.Parked && c.Unpark && c.Once && !won {
		return what // Once or Unpark: the contract does not say which is stronger
	}
	want := before.State == store.Absent || before.State == store.Interrupted && !c.Once || before.State == store.Parked && c.Unpark
	if won != want {
		h.Fatalf("%s: won %v; it was %v", what, won, brief(before))
	}
	if !won {
		return what
	}
	next := before
	if before.State == store.Absent {
		next = store.Record{Key: key, Method: c.Method, CallID: c.CallID, Created: h.clock.Now(), Fingerprint: c.Fingerprint}
	}
	if before.State == store.Parked {
		next.Attempts, next.Payload, next.Size, next.Retained, next.Digest = 0, nil, 0, false, [sha256.Size]byte{}
	}
	if got.Token <= before.Token {
		h.Fatalf("%s: token %d after %d", what, got.Token, before.Token)
	}
	if before.Fingerprint == (store.Fingerprint{}) && got.Fingerprint == c.Fingerprint {
		next.Fingerprint = c.Fingerprint // a record may learn what the request was
	}
	next.State, next.Token, next.Owner = store.InProgress, got.Token, h.store.Owner()
	next.Attempts++
	next.First = before.State == store.Absent
	next.Updated, next.Expires = h.clock.Now(), h.clock.Now().Add(c.Retention)
	if h.f.Leases {
		next.Lease = h.clock.Now().Add(c.Lease)
	}
	h.records[key] = &modelRecord{Record: next, opened: h.opened}
	if d := difference(next, got); d != "" {
		h.Fatalf("%s returned:%s", what, d)
	}
	return what
}

// token returns the record's own token, mostly, and whether an operation with it must
// succeed. judged is false if the contract leaves that open.
func (h *history) token(key store.Key) (token uint64, r *modelRecord, judged bool) {
	r = h.find(key)
	if r == nil {
		old := h.records[key]
		return uint64(1 + h.pick(3)), nil, old == nil || old.State != store.InProgress
	}
	if h.pick(4) == 0 {
		return r.Token + uint64(h.pick(3)) - 1, r, r.State != store.InProgress || !h.dead(r)
	}
	return r.Token, r, r.State != store.InProgress || !h.dead(r) || h.f.Leases && (!h.f.Deaths || r.opened == h.opened)
}

func (h *history) complete(key store.Key) string {
	h.Helper()
	token, r, judged := h.token(key)
	state := []store.State{store.Completed, store.Failed, store.Parked, store.InProgress}[h.pick(4)]
	body := payload(h.pick(120))
	keep := h.duration(10*time.Second, time.Minute, retention)
	what := fmt.Sprintf("complete %x with token %d as %v", key[:2], token, state)
	if !judged {
		return "no " + what
	}
	err := h.store.Complete(h.ctx, key, token, store.Result{State: state, Payload: body}, keep)
	own := r != nil && r.State == store.InProgress && r.Token == token
	switch {
	case !state.Ended() && err == nil:
		h.Fatalf("%s was accepted", what)
	case !state.Ended():
	case !own:
		h.stale(err, "%s", what)
	case err != nil:
		h.Fatalf("%s: %v", what, err)
	default:
		r.State, r.Lease = state, time.Time{}
		r.Updated, r.Expires = h.clock.Now(), h.clock.Now().Add(keep)
		r.Size, r.Digest = len(body), sha256.Sum256(body)
		got := h.get(key)
		r.Retained = len(body) <= h.options.MaxPayload || got.Retained
		if r.Retained {
			r.Payload = body
		}
	}
	return what
}

func (h *history) giveUp(key store.Key) string {
	h.Helper()
	token, r, judged := h.token(key)
	what := fmt.Sprintf("abandon %x with token %d", key[:2], token)
	if !judged || r != nil && h.dead(r) {
		return "no " + what
	}
	end := store.AttemptEnd(h.pick(3))
	what += fmt.Sprintf(" at end %d", end)
	err := h.store.Abandon(h.ctx, key, token, end)
	switch {
	case r == nil || r.State != store.InProgress || r.Token != token:
		h.stale(err, "%s", what)
	case err != nil:
		h.Fatalf("%s: %v", what, err)
	default:
		r.State, r.Lease, r.Updated = store.Interrupted, time.Time{}, h.clock.Now()
		if end != store.Unended {
			r.Attempts--
		}
		if end == store.Undone && r.First {
			r.Expires = time.Time{}
		}
	}
	return what
}

func (h *history) renew(key store.Key) string {
	h.Helper()
	token, r, judged := h.token(key)
	d := h.duration(lease, 20*lease)
	what := fmt.Sprintf("renew %x with token %d for %v", key[:2], token, d)
	if !judged || r != nil && h.dead(r) {
		return "no " + what
	}
	err := h.store.Renew(h.ctx, key, token, d)
	switch {
	case r == nil || r.State != store.InProgress || r.Token != token:
		h.stale(err, "%s", what)
	case err != nil:
		h.Fatalf("%s: %v", what, err)
	default:
		got := h.get(key)
		r.Updated, r.Expires = got.Updated, got.Expires // which of them change is left open
		if h.f.Leases {
			r.Lease = h.clock.Now().Add(d)
		}
	}
	return what
}

func (h *history) entomb(key store.Key) string {
	h.Helper()
	b := claimOf(key)
	b.Fingerprint = fingerprint([]string{"a", "b"}[h.pick(2)])
	b.Retention = h.duration(time.Minute, retention)
	what := fmt.Sprintf("bury %x print %.2x", key[:2], b.Fingerprint)
	proven := store.ByProof(b.Fingerprint.Proof())
	want, tomb := h.view(key), h.view(key.Tombstone(proven))
	before, err := h.store.Bury(h.ctx, b)
	reused := want.State != store.Absent && !want.Fingerprint.Matches(proven)
	if reused && tomb.State == store.Absent {
		if !errors.Is(err, store.ErrKeyReused) {
			h.Fatalf("%s: %v; want ErrKeyReused", what, err)
		}
		return what
	}
	if reused || want.State == store.Absent {
		want = tomb
	}
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
	if want.State == store.Interrupted {
		want.Updated = before.Updated
	}
	if d := difference(want, before); d != "" && (want.State != store.Absent || before.State != store.Absent) {
		h.Fatalf("%s returned:%s", what, d)
	}
	switch want.State {
	case store.Absent:
		key = tomb.Key
		want = store.Record{Key: key, Method: b.Method, CallID: b.CallID, Created: h.clock.Now(), Fingerprint: proven}
		if !slices.Contains(h.buried, key) {
			h.buried = append(h.buried, key)
		}
	case store.Interrupted:
	default:
		return what
	}
	want.State, want.Updated = store.Tombstone, h.clock.Now()
	if expires := h.clock.Now().Add(b.Retention); expires.After(want.Expires) {
		want.Expires = expires
	}
	h.records[key] = &modelRecord{Record: want}
	return what
}

func (h *history) sweepAll() {
	h.Helper()
	most := h.unswept
	left := make(map[store.State]int)
	for _, key := range h.all() {
		if state := h.view(key).State; state != store.Absent {
			left[state]++
		} else if h.records[key] != nil {
			most++
			delete(h.records, key)
		}
	}
	n := h.sweep()
	if n > most {
		h.Fatalf("Sweep forgot %d records; there are %d to forget", n, most)
	}
	h.unswept = most - n
	if got := h.stats(); fmt.Sprint(got.Records) != fmt.Sprint(left) {
		h.Fatalf("after Sweep there are %v; want %v", got.Records, left)
	}
}
