package boltstore

import (
	"crypto/sha256"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// batch is what the methods of the store do in one commit. A method that fails with an
// error of package store has changed nothing.
type batch struct {
	table
	head
	opts  Options
	now   time.Time
	used  int64        // bytes, with what the batch has added so far
	dirty bool         // there is something to commit
	room  func() error // see Store.room; nil for readers
	tight bool         // see Store.tight
	txid  uint64
	// What has changed is appended to the journal, which is nil if the batch is to write
	// it to its place. The transaction must be one that writes then, and the journal have
	// been flushed in it.
	journal *journal.Tx
}

// newBatch returns a batch of a transaction, in which the head is h.
func newBatch(tx *bbolt.Tx, opts Options, h head) (*batch, error) {
	t, err := tableOf(tx)
	return &batch{table: t, head: h, opts: opts, now: opts.Now().UTC().Round(0)}, err
}

// readBatch returns a batch that only reads, in which the journal is as j says.
func readBatch(tx *bbolt.Tx, opts Options, j *journal.Journal) (*batch, error) {
	b, err := newBatch(tx, opts, head{})
	if err != nil {
		return nil, err
	}
	b.journal = new(journal.Tx)
	b.journal.Begin(j, 0)
	b.head, err = b.headWith(j)
	return b, err
}

// finish writes the head, of a batch that has written all to its place.
func (b *batch) finish() error { return b.root.Put(headKey, b.encode()) }

// flush writes the latest versions of records in the journal to their places.
func (b *batch) flush(j *journal.Journal, keys []store.Key) error {
	for _, key := range keys {
		body, _ := j.Get(key)
		expires, err := expiryOf(body)
		if err != nil {
			return integrity.Damaged("the journal: record %v: %v", key, err)
		}
		value := make([]byte, integrity.SumLength, integrity.SumLength+len(body)+entryLength)
		if err := b.put(minuteOf(expires), append(value, body...)); err != nil {
			return err
		}
	}
	return nil
}

// empty flushes all of the journal, and begins its next generation.
func (b *batch) empty(j *journal.Journal) error {
	b.generation = b.generation.Next()
	return b.flush(j, j.Keys())
}

// entry is a record as the methods see it.
type entry struct {
	stored
	// there says that a record is in the file, and was is the state under which it
	// is counted; the record itself is absent if its retention is over.
	there bool
	was   store.State
	last  uint64 // the token of a record whose retention is over
}

// load returns the record as it is now: with its owner dead, or past its retention.
func (b *batch) load(key store.Key) (e entry, err error) {
	if err := b.lookUp(key, &e); err != nil {
		return e, err
	}
	if !e.there {
		e.Key = key
		return e, nil
	}
	e.was = b.effective(&e.stored)
	if b.expired(&e.stored) {
		e.last = e.Token
		e.stored = stored{Record: store.Record{Key: key}}
		return e, nil
	}
	b.present(&e.stored)
	return e, nil
}

// lookUp finds the latest version of a record.
func (b *batch) lookUp(key store.Key, e *entry) (err error) {
	var body []byte
	if b.journal != nil {
		body, e.there = b.journal.Get(key)
	}
	if !e.there {
		e.stored, e.there, err = b.find(key)
		return err
	}
	if e.stored, err = decodeBody(body); err != nil || e.Key != key {
		err = integrity.Damaged("the journal has something else for record %v: %v", key, err)
	}
	return err
}

// effective is the state under which a stored record is counted.
func (b *batch) effective(r *stored) store.State {
	if r.State == store.InProgress && r.epoch != b.epoch {
		return store.Interrupted
	}
	return r.State
}

// expired reports whether a record may be forgotten.
func (b *batch) expired(r *stored) bool {
	return b.effective(r) != store.InProgress && !r.Expires.After(b.now)
}

// present makes r what callers see.
func (b *batch) present(r *stored) {
	r.State = b.effective(r)
	switch r.epoch {
	case 0:
	case b.epoch:
		r.Owner = b.owner
	default:
		r.Owner = owner(r.epoch)
	}
}

func owner(epoch uint64) string { return "epoch " + strconv.FormatUint(epoch, 10) }

// save writes the entry's record.
func (b *batch) save(e *entry) (err error) {
	b.dirty = true
	e.Updated = b.now
	if e.there {
		b.counts[e.was]--
		b.floor = max(b.floor, e.last)
	}
	b.counts[e.State]++
	size, err := b.write(e)
	if !e.there {
		b.used += int64(size)
	}
	b.present(&e.stored)
	return err
}

// write writes a version of a record and returns its length.
func (b *batch) write(e *entry) (size int, err error) {
	if b.journal != nil {
		return b.journal.Put(e.Key, e.bound(), func(to []byte) []byte { return appendBody(to, &e.stored) })
	}
	value := encodeRecord(&e.stored)
	return len(value), b.put(minuteOf(e.Expires), value)
}

// create makes e a new record of a call.
func (b *batch) create(e *entry, c store.Claim) error {
	if b.opts.full(b.used) {
		return &store.FullError{Size: b.used, Limit: b.opts.SizeLimit, RetryAfter: b.opts.retryAfter()}
	}
	e.stored = stored{Record: store.Record{
		Key: c.Key, Method: c.Method, CallID: c.CallID, Fingerprint: c.Fingerprint, Created: b.now,
	}}
	return nil
}

func (b *batch) claim(c store.Claim) (store.Record, bool, error) {
	e, err := b.load(c.Key)
	if err != nil {
		return store.Record{}, false, err
	}
	if e.State != store.Absent && !e.Fingerprint.Matches(c.Fingerprint) {
		return e.Record, false, store.ErrKeyReused
	}
	if e.State == store.Absent {
		if t, err := b.tombstone(c); err != nil || t.State != store.Absent {
			return t.Record, false, err
		}
	}
	begins := e.State == store.Absent || e.State == store.Interrupted && !c.Once || e.State == store.Parked && c.Unpark
	if begins && b.room != nil {
		if err := b.room(); err != nil {
			return e.Record, false, &store.UnavailableError{Op: "claim", Cause: err}
		}
	}
	switch {
	case e.State == store.Absent:
		if err := b.create(&e, c); err != nil {
			return e.Record, false, err
		}
		e.Token, e.First = max(b.floor, e.last), true
	case e.State == store.Interrupted && !c.Once:
		e.First = false
	case e.State == store.Parked && c.Unpark:
		e.Attempts, e.First = 0, false
		e.end(nil, 0)
	default:
		return e.Record, false, nil
	}
	if e.Fingerprint == (store.Fingerprint{}) {
		e.Fingerprint = c.Fingerprint
	}
	e.State, e.epoch = store.InProgress, b.epoch
	e.Token++
	e.Attempts++
	e.Expires = expiry(b.now, c.Retention)
	err = b.save(&e)
	return e.Record, err == nil, err
}

// end sets what the call ended with; payload is nil if it has not.
func (e *entry) end(payload []byte, limit int) {
	e.Payload, e.Size, e.Digest, e.Retained = nil, len(payload), [sha256.Size]byte{}, false
	if payload == nil {
		return
	}
	e.Digest = sha256.Sum256(payload)
	if len(payload) <= limit {
		e.Payload, e.Retained = payload, true
	}
}

// owned returns the record if it is in progress with that token.
func (b *batch) owned(key store.Key, token uint64) (entry, error) {
	e, err := b.load(key)
	if err == nil && (e.State != store.InProgress || e.Token != token) {
		err = store.ErrStale
	}
	return e, err
}

func (b *batch) complete(key store.Key, token uint64, r store.Result, retention time.Duration) error {
	e, err := b.owned(key, token)
	if err != nil {
		return err
	}
	payload := r.Payload
	if payload == nil {
		payload = []byte{}
	}
	e.State = r.State
	e.end(payload, b.opts.MaxPayload)
	e.Expires = expiry(b.now, retention)
	return b.save(&e)
}

func (b *batch) abandon(key store.Key, token uint64, end store.AttemptEnd) error {
	e, err := b.owned(key, token)
	if err != nil {
		return err
	}
	e.State = store.Interrupted
	if end != store.Unended {
		e.Attempts--
	}
	if end == store.Undone && e.First {
		e.Expires = time.Unix(0, 0) // it is forgotten, and a sweep takes what is left
	}
	return b.save(&e)
}

// tombstone returns the one that binds the absent call, if there is one.
func (b *batch) tombstone(c store.Claim) (e entry, err error) {
	if b.counts[store.Tombstone] == 0 || !c.Fingerprint.Proven() {
		return e, nil
	}
	return b.load(c.Key.Tombstone(c.Fingerprint))
}

func (b *batch) bury(c store.Claim) (store.Record, error) {
	e, err := b.load(c.Key)
	if err != nil {
		return store.Record{}, err
	}
	c.Fingerprint = store.ByProof(c.Fingerprint.Proof())
	if e.State != store.Absent && !e.Fingerprint.Matches(c.Fingerprint) {
		if t, err := b.tombstone(c); err != nil || t.State != store.Absent {
			return t.Record, err
		}
		return store.Record{}, store.ErrKeyReused
	}
	before := e.Record
	switch e.State {
	case store.Absent:
		c.Key = c.Key.Tombstone(c.Fingerprint)
		if e, err = b.load(c.Key); err != nil || e.State != store.Absent {
			return e.Record, err
		}
		if limit := b.opts.Tombstones; b.counts[store.Tombstone] >= uint64(max(limit, 0)) {
			return before, &store.TombstonesError{Limit: limit, RetryAfter: b.opts.retryAfter()}
		}
		if err := b.create(&e, c); err != nil {
			return before, err
		}
	case store.Interrupted:
	default:
		return before, nil
	}
	e.State = store.Tombstone
	if expires := expiry(b.now, c.Retention); expires.After(e.Expires) {
		e.Expires = expires
	}
	return before, b.save(&e)
}

// portion is how many records a sweep does something about in one commit: few where the
// disk has no room for many, as it makes room.
func (b *batch) portion() int {
	if b.tight {
		return min(b.opts.SweepBatch, tightPortion)
	}
	return b.opts.SweepBatch
}

// sweep looks at the records from a place on, as many as one commit may, and deletes those
// that are past their retention. It returns where to go on; more is false at the end.
func (b *batch) sweep(from place) (deleted int, next place, more bool, err error) {
	type victim struct {
		key   store.Key
		place place
		was   store.State
		token uint64
	}
	var victims []victim
	if err := b.open(); err != nil {
		return 0, next, false, err
	}
	c := b.records.Cursor()
	looked := 0
	for k, v := c.Seek(from[:]); k != nil; k, v = c.Next() {
		at, r, err := decodeAt(k, v)
		if err != nil {
			return 0, next, false, err
		}
		next = at
		if at.minute() > minuteOf(b.now) {
			break
		}
		if looked == b.portion() {
			more = true
			break
		}
		looked++
		if b.expired(&r) {
			victims = append(victims, victim{r.Key, at, b.effective(&r), r.Token})
		}
	}
	for _, v := range victims {
		p, err := decodeEntry(v.key[:], b.index.Get(v.key[:]))
		if err != nil || p != v.place {
			return 0, next, false, integrity.Damaged("the index does not have the record at %x", v.place)
		}
		if err := b.delete(v.place, v.key); err != nil {
			return 0, next, false, err
		}
		b.counts[v.was]--
		b.floor = max(b.floor, v.token)
		b.dirty = true
	}
	return len(victims), next, more, nil
}
