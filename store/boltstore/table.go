package boltstore

import (
	"bytes"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// Bucket is the beginning of the names of the top-level buckets that are the
// store's own.
const Bucket = "warren.store"

// The store's buckets lie at the top, as each bucket around them would be one page
// more to write in each commit. The first is so small that it has no page.
var (
	bucketKey  = []byte(Bucket)
	indexKey   = []byte(Bucket + ".index")
	recordsKey = []byte(Bucket + ".records")
	journalKey = []byte(Bucket + ".journal")
	headKey    = []byte("head")
)

// table is the store's part of one transaction.
type table struct {
	tx   *bbolt.Tx
	root *bbolt.Bucket
	// Those are nil until they are needed: what has changed lately is in the journal.
	index, records *bbolt.Bucket
	area           *bbolt.Bucket // the journal's
	// seeker is a cursor of the index, for one use at a time.
	seeker *bbolt.Cursor
}

func tableOf(tx *bbolt.Tx) (t table, err error) {
	t = table{tx: tx, root: tx.Bucket(bucketKey)}
	if t.root == nil {
		return t, errNoBucket
	}
	return t, nil
}

var errNoBucket = integrity.Damaged("a bucket of the store is not there")

// open opens the buckets of the records that have a place.
func (t *table) open() error {
	if t.seeker != nil {
		return nil
	}
	t.index, t.records, t.area = t.tx.Bucket(indexKey), t.tx.Bucket(recordsKey), t.tx.Bucket(journalKey)
	if t.index == nil || t.records == nil || t.area == nil {
		return errNoBucket
	}
	t.seeker = t.index.Cursor()
	// Most records are made at the end: pages that are split in the middle there
	// would stay half empty.
	t.records.FillPercent = 0.9
	return nil
}

// whole reports whether the buckets of the store, which are open, are those that they
// were, and that of the journal has an area of so many bytes, and nothing else.
func (t table) whole(size int) bool {
	return t.tx.Bucket(bucketKey) == t.root && t.tx.Bucket(indexKey) == t.index &&
		t.tx.Bucket(recordsKey) == t.records && t.tx.Bucket(journalKey) == t.area && t.hasArea(size)
}

func (t table) hasArea(size int) bool {
	c := t.area.Cursor()
	k, v := c.First()
	if size == 0 {
		return k == nil
	}
	if !bytes.Equal(k, areaKey) || len(v) != areaBegin+size {
		return false
	}
	k, _ = c.Next()
	return k == nil
}

func createTable(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketKey, indexKey, recordsKey, journalKey} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return nil
}

func (t table) head() (head, error) {
	h, have, err := decodeHead(t.root.Get(headKey))
	switch {
	case err != nil:
		return h, integrity.Damaged("the head of the file: %v", err)
	case have != version:
		return h, integrity.Damaged("the head of the file has changed to version %d", have)
	}
	return h, nil
}

// find returns the record that has a place; found is false if there is none.
func (t *table) find(key store.Key) (r stored, found bool, err error) {
	p, err := t.locate(key)
	if err != nil || p == (place{}) {
		return r, false, err
	}
	if r, err = t.at(p); err == nil && r.Key != key {
		err = integrity.Damaged("the index has record %v for %v", r.Key, key)
	}
	return r, err == nil, err
}

// locate returns the place of a record, zero if it has none.
func (t *table) locate(key store.Key) (p place, err error) {
	if err := t.open(); err != nil {
		return p, err
	}
	c := t.seeker
	k, v := c.Seek(key[:])
	if !bytes.Equal(k, key[:]) {
		return place{}, proveGap(c, key[:], k, v)
	}
	if p, err = decodeEntry(k, v); err != nil {
		return place{}, integrity.Damaged("the index entry of %v: %v", key, err)
	}
	return p, nil
}

// proveGap makes sure that there is no entry for key, given the cursor on the next
// one: an entry that cannot be found since it, or the way to it, is damaged must not
// be taken for one that is not there.
func proveGap(c *bbolt.Cursor, key, k, v []byte) error {
	if k != nil {
		if _, err := decodeEntry(k, v); err != nil || bytes.Compare(k, key) < 0 {
			return integrity.Damaged("the index near %x", key)
		}
		k, v = c.Prev()
	} else {
		k, v = c.Last()
	}
	if k != nil {
		if _, err := decodeEntry(k, v); err != nil || bytes.Compare(k, key) > 0 {
			return integrity.Damaged("the index near %x", key)
		}
	}
	return nil
}

// at returns the record of a place that must have one.
func (t *table) at(p place) (stored, error) {
	if err := t.open(); err != nil {
		return stored{}, err
	}
	b := t.records.Get(p[:])
	if b == nil {
		return stored{}, integrity.Damaged("the record at %x is not there", p)
	}
	_, r, err := decodeAt(p[:], b)
	return r, err
}

// decodeAt decodes a record that lies at the key k.
func decodeAt(k, v []byte) (p place, r stored, err error) {
	if len(k) != len(p) {
		return p, r, integrity.Damaged("the record at %x has no place", k)
	}
	copy(p[:], k)
	if r, err = decodeRecord(p, v); err != nil {
		return p, r, integrity.Damaged("the record at %x: %v", k, err)
	}
	return p, r, nil
}

// put writes a record to its place, given the value that it is to have, which begins with
// room for the checksum; the capacity behind it is used for an entry of the index. It
// moves if it expires in another minute.
func (t *table) put(minute uint32, value []byte) error {
	key := keyOf(value[integrity.SumLength:])
	p, err := t.locate(key)
	if err != nil {
		return err
	}
	if p == (place{}) || p.minute() != minute {
		if p != (place{}) {
			if err := t.records.Delete(p[:]); err != nil {
				return err
			}
		}
		sequence, err := t.records.NextSequence()
		if err != nil {
			return err
		}
		p = placeOf(minute, sequence)
		if err := t.index.Put(key[:], appendEntry(value[len(value):], key, p)); err != nil {
			return err
		}
	}
	return t.records.Put(p[:], integrity.Seal(p[:], value))
}

func (t table) delete(p place, key store.Key) error {
	if err := t.records.Delete(p[:]); err != nil {
		return err
	}
	return t.index.Delete(key[:])
}
