package storetest

import (
	"errors"
	"time"

	"github.com/warren-rpc/warren/store"
)

var roomGroups = []group{
	{name: "Retention", run: retentionEnds,
		sentence: "A claim wins if the record is absent, or past its retention. Sweep forgets records whose retention is over."},
	{name: "LivingStay", run: livingStay,
		sentence: "A record in progress whose owner is alive stays."},
	{name: "Full", run: full, need: func(f Features, _ store.Traits) bool { return f.SizeLimit > 0 },
		sentence: "FullError says that a store takes no new records: it keeps what room is left for completing those that it has."},
	{name: "Tombstones", run: tombstonesEnd, options: Options{Tombstones: fewTombstones},
		sentence: "A *TombstonesError says that there are too many; nothing is changed then, and calls are begun as ever."},
	{name: "ManyKeys", run: manyKeys, need: func(f Features, _ store.Traits) bool { return f.Keys > 0 },
		sentence: "Get returns the record; Records is how many there are; Sweep forgets records whose retention is over."},
}

func retentionEnds(e *env) {
	records := e.everyState()
	living := records[store.InProgress]
	delete(records, store.InProgress)
	e.clock.move(retention - 2*instant)
	for _, r := range records {
		e.unchanged(r, "time within the retention")
	}
	e.sweep()
	for _, r := range records {
		e.unchanged(r, "a sweep within the retention")
	}
	e.clock.move(4 * instant)
	for state, r := range records {
		if got := e.get(r.Key); got.State != store.Absent {
			e.Errorf("what is %v is %v after its retention", state, brief(got))
		}
	}
	// Two are begun again, by whoever comes first, before anything was swept.
	again := e.win(claimOf(records[store.Completed].Key))
	if again.Attempts != 1 || again.Payload != nil || again.Retained || !near(again.Created, e.clock.Now()) {
		e.Errorf("a claim of what is past its retention returned %+v", again)
	}
	c := claimOf(records[store.Tombstone].Key)
	c.Once, c.Fingerprint = true, fingerprint("another request")
	e.win(c)
	if before := e.bury(records[store.Parked].Key); before.State != store.Absent {
		e.Errorf("Bury of what is past its retention found %v", brief(before))
	}
	if e.f.Leases {
		// Its lease has run out long ago, and its retention now.
		if got := e.get(living.Key); got.State != store.Absent {
			e.Errorf("what a dead owner left is %v after its retention", brief(got))
		}
	}
	if n := e.sweep(); n > len(records) {
		e.Errorf("Sweep forgot %d of at most %d records", n, len(records))
	}
	want := 3
	if !e.f.Leases {
		want++ // the owner of the one in progress is alive
	}
	if got := e.stats(); got.Total() != want {
		e.Errorf("after a sweep there are %v; want %d records", got.Records, want)
	}
	if n := e.sweep(); n != 0 {
		e.Errorf("a second Sweep forgot %d records", n)
	}
	e.unchanged(again, "Sweep")
}

func livingStay(e *env) {
	c := claimOf(e.key())
	c.Retention, c.Lease = time.Minute, time.Hour
	r := e.win(c)
	e.clock.move(30 * time.Minute)
	e.unchanged(r, "the end of its retention")
	e.sweep()
	e.unchanged(r, "Sweep")
	e.lose(c)
	if got := e.stats(); got.Records[store.InProgress] != 1 {
		e.Errorf("there are %v; one is in progress with a living owner", got.Records)
	}
	if err := e.store.Renew(e.ctx, r.Key, r.Token, time.Hour); err != nil {
		e.Errorf("Renew after the retention: %v", err)
	}
	e.clock.move(30 * time.Minute)
	done := e.end(r, store.Completed, []byte("long work"))
	e.sweep()
	e.unchanged(done, "Sweep")
	// The same with a dead owner does not stay.
	dead := claimOf(e.key())
	dead.Retention = time.Minute
	e.win(dead)
	e.killOwners()
	e.clock.move(time.Minute)
	e.sweep()
	if got := e.get(dead.Key); got.State != store.Absent {
		e.Errorf("what a dead owner left is %v after its retention", brief(got))
	}
	e.unchanged(done, "Sweep")
}

// full fills a store with replies until it takes no more.
func full(e *env) {
	e.options = Options{SizeLimit: e.f.SizeLimit}
	e.close()
	e.dir = e.tb.TempDir()
	e.store = e.another()
	body := payload(int(e.f.SizeLimit / 64))
	dead := e.abandon(e.win(claimOf(e.key())))
	waiting := []store.Record{e.win(claimOf(e.key())), e.win(claimOf(e.key())), e.win(claimOf(e.key()))}
	var refusal *store.FullError
	var done store.Record
	records := 4
	for refusal == nil {
		c := claimOf(e.key())
		r, won, err := e.store.Claim(e.ctx, c)
		if errors.As(err, &refusal) {
			if got := e.get(c.Key); got.State != store.Absent || won {
				e.Errorf("a claim that was refused (won: %v) has left %v", won, brief(got))
			}
			break
		}
		if err != nil || !won || records > 80 {
			e.Fatalf("claim %d with %d bytes each: won %v, error %v; the limit is %d", records, len(body), won, err, e.f.SizeLimit)
		}
		done = e.end(r, store.Completed, body)
		records++
	}
	if refusal.Limit != e.f.SizeLimit || refusal.Size <= 0 || refusal.RetryAfter <= 0 {
		e.Errorf("refused by %+v; the limit is %d", refusal, e.f.SizeLimit)
	}
	if stats := e.stats(); stats.Limit != e.f.SizeLimit || stats.Size > stats.Limit || stats.Size < stats.Limit/2 {
		e.Errorf("refused a claim while %d of %d bytes are in use; the limit is %d", stats.Size, stats.Limit, e.f.SizeLimit)
	}
	// What is there is answered and ended as ever.
	e.lose(claimOf(done.Key))
	if err := e.store.Renew(e.ctx, waiting[0].Key, waiting[0].Token, lease); err != nil {
		e.Errorf("Renew while the store is full: %v", err)
	}
	e.end(waiting[0], store.Completed, body)
	e.end(waiting[1], store.Failed, body)
	if got := e.abandon(waiting[2]); got.State != store.Interrupted {
		e.Errorf("given up while the store is full: %v", brief(got))
	}
	e.unchanged(dead, "a full store")
	if _, _, err := e.store.Claim(e.ctx, claimOf(e.key())); !errors.As(err, &refusal) {
		e.Errorf("a claim after ends in a full store: %v; want a FullError", err)
	}
	e.reopen()
	if _, _, err := e.store.Claim(e.ctx, claimOf(e.key())); !errors.As(err, &refusal) {
		e.Errorf("a claim after a full store was opened again: %v; want a FullError", err)
	}
	e.clock.move(retention + instant)
	e.sweep()
	if got := e.stats().Total(); got != 0 {
		e.Errorf("after all was forgotten there are %d records", got)
	}
	for range 10 {
		e.end(e.win(claimOf(e.key())), store.Completed, body)
	}
}

const fewTombstones = 5

// tombstonesEnd asks about more calls that never came than the store notes.
func tombstonesEnd(e *env) {
	begun := e.abandon(e.win(claimOf(e.key())))
	c := claimOf(e.key())
	for range fewTombstones {
		c.Key = e.key()
		e.bury(c.Key)
	}
	refused := func() {
		e.Helper()
		var full *store.TombstonesError
		b := claimOf(e.key())
		_, err := e.store.Bury(e.ctx, b)
		if !errors.As(err, &full) || full.Limit != fewTombstones || full.RetryAfter <= 0 {
			e.Errorf("with %d tombstones, Bury of what is absent: %+v, error %v", fewTombstones, full, err)
		}
		e.win(b)
	}
	refused()
	// What is known is told, and what was begun is forbidden.
	if before := e.bury(c.Key); before.State != store.Tombstone {
		e.Errorf("a second Bury found %v", brief(before))
	}
	e.lose(c)
	if before := e.bury(begun.Key); before.State != store.Interrupted || e.get(begun.Key).State != store.Tombstone {
		e.Errorf("Bury of what was begun found %v", brief(before))
	}
	refused()
	e.reopen()
	refused()
	e.clock.move(retention + instant)
	e.sweep()
	for range fewTombstones {
		if before := e.bury(e.key()); before.State != store.Absent {
			e.Errorf("once all was forgotten, Bury found %v", brief(before))
		}
	}
	refused()
}

// manyKeys claims, ends every tenth, and asks for some of each.
func manyKeys(e *env) {
	const workers, ended = 16, 10
	n := e.f.Keys
	race(workers, func(w int) {
		for i := w; i < n; i += workers {
			c := claimOf(numbered(uint64(i)))
			r, won, err := e.store.Claim(e.ctx, c)
			if err != nil || !won {
				e.Errorf("claim %d of %d: won %v, error %v", i, n, won, err)
				return
			}
			if i%ended != 0 {
				continue
			}
			result := store.Result{State: store.Completed, Payload: c.Key[:]}
			if err := e.store.Complete(e.ctx, c.Key, r.Token, result, retention); err != nil {
				e.Errorf("end %d of %d: %v", i, n, err)
				return
			}
		}
	})
	inProgress := store.InProgress
	if e.f.Leases {
		e.killOwners()
		inProgress = store.Interrupted
	}
	if got := e.stats(); got.Total() != n || got.Records[store.Completed] != (n+ended-1)/ended {
		e.Errorf("of %d records, a tenth of them completed, there are %v", n, got.Records)
	}
	for i := 0; i < n; i += max(1, n/997) {
		key := numbered(uint64(i))
		r := e.get(key)
		switch {
		case i%ended == 0 && r.State == store.Completed && store.Key(r.Payload) == key:
		case i%ended != 0 && r.State == inProgress && r.Attempts == 1:
		default:
			e.Errorf("record %d of %d is %v", i, n, brief(r))
		}
	}
	if r := e.get(numbered(uint64(n))); r.State != store.Absent {
		e.Errorf("a record that was not made is %v", brief(r))
	}
	e.clock.move(retention + instant)
	e.sweep()
	want := 0
	if !e.f.Leases {
		want = n - (n+ended-1)/ended // their owner is alive
	}
	if got := e.stats(); got.Total() != want {
		e.Errorf("after their retention there are %v; want %d", got.Records, want)
	}
}
