package memstore

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/warren-rpc/warren/store"
)

// Data is what stores in memory keep: the records, and an application's values. The
// zero value is ready and empty. Stores that [Open] makes on the same Data share it,
// concurrently too. It must not be copied after that.
type Data struct {
	once    sync.Once
	id      string
	created time.Time

	mu sync.Mutex
	// transaction is open while an application has the data, which may take long, and
	// nil else. Whoever waits for it can give up, as one cannot for a mutex.
	transaction chan struct{}

	records map[store.Key]*store.Record // the records are replaced, never changed
	values  map[string][]byte
	size    int64
	// tombstones is how many of the records are.
	tombstones int
	// floor is the highest token of all records that were forgotten. A new record's
	// tokens begin above it, so that who still holds a token of a forgotten one does
	// not own its successor.
	floor uint64
}

func (d *Data) init(now func() time.Time) {
	d.once.Do(func() {
		d.id, d.created = rand.Text()[:16], now()
		d.records = make(map[store.Key]*store.Record)
		d.values = make(map[string][]byte)
	})
}

// lock waits until nobody else has the data, or ctx ends.
func (d *Data) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	for d.transaction != nil {
		transaction := d.transaction
		d.mu.Unlock()
		select {
		case <-transaction:
		case <-ctx.Done():
			return ctx.Err()
		}
		d.mu.Lock()
	}
	return nil
}

func (d *Data) unlock() { d.mu.Unlock() }

// lend has the others wait for a transaction, while f runs, and no longer for the
// lock, which the caller has before and after.
func (d *Data) lend(f func()) {
	transaction := make(chan struct{})
	d.transaction = transaction
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.transaction = nil
		close(transaction)
	}()
	f()
}

// dead reports whether the record is in progress with a dead owner.
func dead(r *store.Record, now time.Time) bool {
	return r.State == store.InProgress && !now.Before(r.Lease)
}

// over reports whether the record may be forgotten.
func over(r *store.Record, now time.Time) bool {
	return !now.Before(r.Expires) && (r.State != store.InProgress || dead(r, now))
}

// find returns the record, or nil if there is none or its retention is over.
func (d *Data) find(key store.Key, now time.Time) *store.Record {
	r := d.records[key]
	if r == nil || over(r, now) {
		return nil
	}
	return r
}

// view returns the record as callers see it.
func view(r *store.Record, key store.Key, now time.Time) store.Record {
	if r == nil {
		return store.Record{Key: key}
	}
	v := *r
	if dead(r, now) {
		v.State = store.Interrupted
		v.Lease = time.Time{}
	}
	return v
}

// make returns a record to put in the place of none. Its token is the one before its
// first.
func (d *Data) make(c store.Claim, now time.Time) store.Record {
	d.forget(c.Key)
	return store.Record{
		Key: c.Key, Method: c.Method, CallID: strings.Clone(c.CallID), // it may be a part of more
		Fingerprint: c.Fingerprint, Token: d.floor, Created: now,
	}
}

// put makes r the record of its key, and returns it as it is then.
func (d *Data) put(r store.Record, now time.Time) store.Record {
	if old := d.records[r.Key]; old != nil {
		d.weigh(old, -1)
	}
	r.Updated = now
	d.weigh(&r, 1)
	d.records[r.Key] = &r
	return r
}

func (d *Data) forget(key store.Key) {
	r := d.records[key]
	if r == nil {
		return
	}
	d.floor = max(d.floor, r.Token)
	d.weigh(r, -1)
	delete(d.records, key)
}

// weigh adds or takes off what the record counts.
func (d *Data) weigh(r *store.Record, sign int) {
	d.size += int64(sign) * size(r)
	if r.State == store.Tombstone {
		d.tombstones += sign
	}
}

// tombstone returns the one that binds the absent call, or nil.
func (d *Data) tombstone(c store.Claim, now time.Time) *store.Record {
	if d.tombstones == 0 || !c.Fingerprint.Proven() {
		return nil
	}
	return d.find(c.Key.Tombstone(c.Fingerprint), now)
}

// size is about what the record takes, in bytes.
func size(r *store.Record) int64 {
	const each = 512
	return each + int64(len(r.Method)+len(r.CallID)+len(r.Payload))
}

func (d *Data) sweep(now time.Time) (n int) {
	for key, r := range d.records {
		if over(r, now) {
			d.forget(key)
			n++
		}
	}
	return n
}

func (d *Data) count(now time.Time) map[store.State]int {
	n := make(map[store.State]int)
	for _, r := range d.records {
		switch {
		case over(r, now):
		case dead(r, now):
			n[store.Interrupted]++
		default:
			n[r.State]++
		}
	}
	return n
}
