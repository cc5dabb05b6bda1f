package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// The file has four buckets:
//
//	warren.store          "head" → the format version, the epoch, the counts and the generation of the journal
//	warren.store.journal  "area" → the area of the journal, which is written without bbolt
//	warren.store.index    key    → place, checksum
//	warren.store.records  place  → checksum, record
//
// What changes is appended to the journal: one entry for a commit, however many records it
// has, with the head as it is then. When the journal is full it is flushed: the latest
// version of each record in it goes to the records and, if it is new, to the index. So a
// record that is claimed and ends soon is written there once, with its end. See the package
// internal/journal, and area.go. Without a journal, if a record is large, and together with
// a function of the application, a record is written to its place at once.
//
// A place is the minute in which the record expires and a number from a sequence.
// Keys are hashes, so their order is random, and a commit of many records would
// rewrite as many pages if the records lay in it. In the order of places, what is
// written at about the same time shares pages, and what expires first lies first: the
// index by expiry is the order of the records itself. Only the index by key, whose
// entries are small, is written at random, and only when a record gets its first
// place, is deleted, or moves to another minute. BenchmarkLayouts compares.

// version is the format of files that this package writes and reads. Files of format
// 1, which had no journal, of 2, which had no ID, of 3, whose fingerprints were one
// hash, and of 4, whose journal was written by bbolt, were never released.
const version = 5

// place is where a record lies.
type place [12]byte

// placeOf returns the place of a number above 0: the zero place is none.
func placeOf(minute uint32, sequence uint64) (p place) {
	binary.BigEndian.PutUint32(p[:4], minute)
	binary.BigEndian.PutUint64(p[4:], sequence)
	return p
}

func (p place) minute() uint32 { return binary.BigEndian.Uint32(p[:4]) }

// minuteIn is the minute of a key that may be no place.
func minuteIn(key []byte) uint32 {
	var p place
	copy(p[:], key)
	return p.minute()
}

// endOfPlaces comes after all places.
var endOfPlaces = place(bytes.Repeat([]byte{0xff}, len(place{})))

// minuteOf returns the minutes since 1970, as far as 32 bits can say them.
func minuteOf(t time.Time) uint32 {
	return uint32(min(max(t.Unix()/60, 0), math.MaxUint32))
}

// entryLength is the length of an entry of the index.
const entryLength = len(place{}) + integrity.SumLength

func appendEntry(b []byte, key store.Key, p place) []byte {
	return binary.BigEndian.AppendUint32(append(b, p[:]...), integrity.Sum(key[:], p[:]))
}

func encodeEntry(key store.Key, p place) []byte {
	return appendEntry(make([]byte, 0, entryLength), key, p)
}

func decodeEntry(key, b []byte) (p place, err error) {
	if len(key) != len(store.Key{}) || len(b) != entryLength || binary.BigEndian.Uint32(b[len(p):]) != integrity.Sum(key, b[:len(p)]) {
		return p, integrity.ErrSum
	}
	return place(b[:len(p)]), nil
}

// stored is a record as it is kept: with the epoch of its owner for the owner.
type stored struct {
	store.Record
	epoch uint64
}

const (
	retainedFlag = 1 << iota
	firstFlag
)

// bodyBound is how long the body of a record is at most, without its strings and
// payload.
const bodyBound = 2 + 3*len(store.Key{}) + 9*binary.MaxVarintLen64

// appendBody writes a record without the checksum, which depends on where it lies.
func appendBody(b []byte, r *stored) []byte {
	var flags byte
	if r.Retained {
		flags |= retainedFlag
	}
	if r.First {
		flags |= firstFlag
	}
	b = append(b, byte(r.State), flags)
	b = append(b, r.Key[:]...)
	b = append(b, r.Fingerprint[:]...)
	b = binary.AppendUvarint(b, r.Token)
	b = binary.AppendUvarint(b, uint64(r.Attempts))
	b = binary.AppendUvarint(b, r.epoch)
	for _, t := range [...]time.Time{r.Created, r.Updated, r.Expires} {
		b = binary.AppendVarint(b, t.UnixNano())
	}
	b = binary.AppendUvarint(b, uint64(len(r.Method)))
	b = append(b, r.Method...)
	b = binary.AppendUvarint(b, uint64(len(r.CallID)))
	b = append(b, r.CallID...)
	if r.State.Ended() {
		b = binary.AppendUvarint(b, uint64(r.Size))
		b = append(b, r.Digest[:]...)
		b = append(b, r.Payload...)
	}
	return b
}

// keyOf returns the key in a body.
func keyOf(body []byte) store.Key { return store.Key(body[2:]) }

var errShort = errors.New("it is shorter than a record")

// decodeBody returns what appendBody was given. Nothing of the result is in b.
func decodeBody(b []byte) (r stored, err error) {
	d := decoder{b: b}
	head := d.take(2)
	copy(r.Key[:], d.take(len(r.Key)))
	copy(r.Fingerprint[:], d.take(len(r.Fingerprint)))
	r.Token, r.Attempts, r.epoch = d.uvarint(), int(d.uvarint()), d.uvarint()
	r.Created, r.Updated, r.Expires = d.time(), d.time(), d.time()
	r.Method = string(d.take(int(d.uvarint())))
	r.CallID = string(d.take(int(d.uvarint())))
	if d.bad {
		return stored{}, errShort
	}
	r.State, r.Retained, r.First = store.State(head[0]), head[1]&retainedFlag != 0, head[1]&firstFlag != 0
	if r.State.Ended() {
		r.Size = int(d.uvarint())
		copy(r.Digest[:], d.take(len(r.Digest)))
		if r.Retained {
			r.Payload = append([]byte{}, d.b...)
		}
	}
	if d.bad || r.State == store.Absent || r.State > store.Tombstone || r.Attempts < 0 {
		return stored{}, errors.New("it is not a record")
	}
	return r, nil
}

// expiryOf returns when the record in a body expires.
func expiryOf(b []byte) (time.Time, error) {
	d := decoder{b: b}
	d.take(2 + len(store.Key{}) + len(store.Fingerprint{}))
	_, _, _ = d.uvarint(), d.uvarint(), d.uvarint()
	_, _ = d.time(), d.time()
	expires := d.time()
	if d.bad {
		return expires, errShort
	}
	return expires, nil
}

// bound is how long the body of a record is at most.
func (r *stored) bound() int { return bodyBound + len(r.Method) + len(r.CallID) + len(r.Payload) }

// encodeRecord returns the value of a record without its checksum, which depends on where
// it lies; there is room for it, and behind the value for an entry of the index.
func encodeRecord(r *stored) []byte {
	return appendBody(make([]byte, integrity.SumLength, integrity.SumLength+r.bound()+entryLength), r)
}

// decodeRecord returns the record whose value, with the checksum, lies at p. Nothing of the
// result is in b.
func decodeRecord(p place, b []byte) (stored, error) {
	body, err := integrity.Unseal(p[:], b)
	if err != nil {
		return stored{}, err
	}
	return decodeBody(body)
}

// decoder reads from b until b has ended, and is bad from then on.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.take(max(n, -1))
	d.bad = d.bad || n == 0
	return v
}

func (d *decoder) time() time.Time {
	v, n := binary.Varint(d.b)
	d.take(max(n, -1))
	d.bad = d.bad || n == 0
	return time.Unix(0, v).UTC()
}

// states is how many states there are; states are the numbers below it.
const states = int(store.Tombstone) + 1

// head is what the file says of itself. The counts take a record in progress whose
// owner has ended for interrupted, so that each opening of the file corrects two
// numbers and no record.
type head struct {
	id      [8]byte // drawn when the file was made
	created time.Time
	epoch   uint64
	// floor is the highest token of all records that were forgotten. Tokens of new
	// ones begin above it: who has one of a forgotten record does not own the next.
	floor  uint64
	counts [states]uint64
	// generation is that of the journal: all that it has of others is in the records.
	generation journal.Generation
	owner      string // of this epoch; it follows from that
}

func (h *head) encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+(4+states)*binary.MaxVarintLen64+len(h.id)+len(h.generation.Secret)+4), version)
	b = binary.AppendVarint(b, h.created.UnixNano())
	b = binary.AppendUvarint(b, h.epoch)
	b = binary.AppendUvarint(b, h.floor)
	for _, n := range h.counts {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, h.generation.Number)
	b = append(b, h.generation.Secret[:]...)
	b = append(b, h.id[:]...)
	return binary.BigEndian.AppendUint32(b, integrity.Sum(headKey, b))
}

// decodeHead returns the head and its format version. All versions begin with their
// number and end with the checksum; no other than this one is read further.
func decodeHead(b []byte) (h head, have int, err error) {
	if len(b) < 8 || binary.BigEndian.Uint32(b[len(b)-4:]) != integrity.Sum(headKey, b[:len(b)-4]) {
		return h, 0, integrity.ErrSum
	}
	have = int(binary.BigEndian.Uint32(b))
	if have != version {
		return h, have, nil
	}
	d := decoder{b: b[4 : len(b)-4]}
	h.created, h.epoch, h.floor = d.time(), d.uvarint(), d.uvarint()
	for i := range h.counts {
		h.counts[i] = d.uvarint()
	}
	h.generation.Number = d.uvarint()
	copy(h.generation.Secret[:], d.take(len(h.generation.Secret)))
	h.owner = owner(h.epoch)
	copy(h.id[:], d.take(len(h.id)))
	if d.bad {
		return h, have, errors.New("it is not a head")
	}
	return h, have, nil
}

// reopen makes h that of a new epoch.
func (h *head) reopen() {
	h.epoch++
	h.owner = owner(h.epoch)
	h.counts[store.Interrupted] += h.counts[store.InProgress]
	h.counts[store.InProgress] = 0
}

func (h *head) byState() map[store.State]int {
	m := make(map[store.State]int)
	for s, n := range h.counts {
		if n > 0 {
			m[store.State(s)] = int(n)
		}
	}
	return m
}

// latest is the last instant that a record can hold.
var latest = time.Unix(0, math.MaxInt64).UTC()

// expiry returns when a retention from now on ends.
func expiry(now time.Time, retention time.Duration) time.Time {
	return slices.MinFunc([]time.Time{now.Add(retention), latest}, time.Time.Compare).UTC()
}
