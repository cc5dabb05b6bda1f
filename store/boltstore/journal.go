package boltstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/warren-rpc/warren/store"
)

// The journal holds what has changed lately. A chunk of it lies under its number and
// begins with
//
//	checksum, number of versions, length of the chunk
//
// A version, which is a record as a commit has left it, has
//
//	checksum, length, minute in which it expires, its place among the records, record
//
// where the place is zero if no version of the record has been settled. A record of the
// state Absent has only a key, and says that what lies at the place is the latest.
// Checksums are of where a thing lies, too, and the head has the numbers of the first
// chunk and of the next one, so nothing of the journal is lost without a trace.
//
// Where the latest versions are is kept in memory, and read when the file is opened.
const (
	chunkHeader   = sumLength + 4 + 4
	versionHeader = sumLength + 4 + 4 + len(place{})
	markerBody    = 2 + len(store.Key{})
	// fullChunk is the length from which a chunk takes no more: so that two of them
	// make a page of some 16 KiB, which a commit rewrites if it is the last one.
	fullChunk = 8 << 10
	// largest is the length of the strings and the payload of a record from which it
	// is not written to the journal: to write it twice would cost more than the pages
	// that are spared.
	largest = 16 << 10
)

// spot is where the journal has a version: in a chunk, from a byte on.
type spot struct {
	chunk uint64
	at    uint32
}

func (s spot) key() (k [12]byte) {
	binary.BigEndian.PutUint64(k[:], s.chunk)
	binary.BigEndian.PutUint32(k[8:], s.at)
	return k
}

func (s spot) damaged(how string) error {
	return damaged("the journal: the version at %d of chunk %d: %s", s.at, s.chunk, how)
}

func chunkKey(chunk uint64) []byte { return binary.BigEndian.AppendUint64(nil, chunk) }

// journal is what is known of the journal as it was committed.
type journal struct {
	spots    map[store.Key]spot // of the latest versions
	versions int                // in all chunks, those that are not the latest too
	bytes    int                // of all chunks
}

// inOrder returns where the latest versions are, in the order in which they came.
func (j *journal) inOrder() []spot {
	return slices.SortedFunc(maps.Values(j.spots), func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.chunk, b.chunk), cmp.Compare(a.at, b.at))
	})
}

// revision is a version in the journal.
type revision struct {
	spot
	minute uint32
	home   place
	body   []byte
}

// moved reports whether the record is not in the journal, but at home.
func (v revision) moved() bool { return store.State(v.body[0]) == store.Absent }

// decode returns the record, if it has not moved.
func (v revision) decode() (stored, error) {
	r, err := decodeBody(v.body)
	if err == nil && minuteOf(r.Expires) != v.minute {
		err = errDamaged
	}
	if err != nil {
		return r, v.damaged(err.Error())
	}
	return r, nil
}

// revisionAt reads a version. It returns where the next one begins, with an error too,
// or 0 if nobody knows.
func revisionAt(s spot, chunk []byte) (v revision, next uint32, err error) {
	rest := chunk[min(int(s.at), len(chunk)):]
	if len(rest) < versionHeader+markerBody {
		return v, 0, s.damaged("it is too short")
	}
	length := binary.BigEndian.Uint32(rest[sumLength:])
	if length < uint32(versionHeader+markerBody) || int64(length) > int64(len(rest)) {
		return v, 0, s.damaged("its length is wrong")
	}
	next = s.at + length
	key, b := s.key(), rest[sumLength:length]
	v = revision{spot: s, minute: binary.BigEndian.Uint32(b[4:]), home: place(b[8:]), body: b[versionHeader-sumLength:]}
	if _, err := unseal(key[:], rest[:length]); err != nil {
		return v, next, s.damaged(err.Error())
	}
	if v.moved() && (len(v.body) != markerBody || v.home == place{}) {
		return v, next, s.damaged("it is nowhere")
	}
	return v, next, nil
}

// sealChunk sets the header of a chunk.
func sealChunk(chunk uint64, b []byte, versions uint32) {
	binary.BigEndian.PutUint32(b[sumLength:], versions)
	binary.BigEndian.PutUint32(b[sumLength+4:], uint32(len(b)))
	seal(chunkKey(chunk), b[:chunkHeader])
}

// eachRevision calls fn with the versions of a chunk and, if one is damaged, with what
// is wrong with it; and report with that, and with what fn returns. It goes on as long as report returns nil, and then returns what report did.
func eachRevision(chunk uint64, b []byte, report func(error) error, fn func(revision, error) error) (versions int, err error) {
	if len(b) < chunkHeader {
		return 0, report(damaged("the journal: chunk %d is too short", chunk))
	}
	header, err := unseal(chunkKey(chunk), b[:chunkHeader])
	if err != nil || int64(binary.BigEndian.Uint32(header[4:])) != int64(len(b)) {
		return 0, report(damaged("the journal: the header of chunk %d is wrong", chunk))
	}
	for at := uint32(chunkHeader); int(at) < len(b); versions++ {
		v, next, err := revisionAt(spot{chunk, at}, b)
		if next > 0 {
			err = fn(v, err)
		}
		if err != nil {
			err = report(err)
		}
		if err != nil || next == 0 {
			return versions, err
		}
		at = next
	}
	if versions != int(binary.BigEndian.Uint32(header)) {
		return versions, report(damaged("the journal: chunk %d has %d versions", chunk, versions))
	}
	return versions, nil
}

// readJournal reads the whole journal, verifies it, and tells report what is wrong.
func (t table) readJournal(h *head, report func(error) error) (*journal, error) {
	j := &journal{spots: make(map[store.Key]spot)}
	next := h.first
	c := t.journal.Cursor()
	for k, b := c.First(); k != nil; k, b = c.Next() {
		if !bytes.Equal(k, chunkKey(next)) {
			return j, report(damaged("the journal: there is %x in the place of chunk %d", k, next))
		}
		n, err := eachRevision(next, b, report, func(v revision, err error) error {
			if err == nil && !v.moved() {
				_, err = v.decode()
			}
			if err != nil {
				delete(j.spots, keyOf(v.body)) // what was before it is not the latest
				return err
			}
			j.spots[keyOf(v.body)] = v.spot
			return nil
		})
		if err != nil {
			return nil, err
		}
		j.versions += n
		j.bytes += len(b)
		next++
	}
	if next != h.next {
		return j, report(damaged("the journal: it ends before chunk %d of %d", next, h.next))
	}
	return j, nil
}

// draft is what a batch changes in the journal. Its memory is used again by the next
// one.
type draft struct {
	buffer   []byte // holds what the batch has written: bbolt copies it when it commits
	begin    int    // of the chunk that is not full yet
	open     uint32 // versions in it
	spots    map[store.Key]spot
	gone     []store.Key // that had versions in chunks that were settled
	versions int         // added, and less those that were settled
	bytes    int
}

// keptBuffer is how much of a draft's memory is kept.
const keptBuffer = 4 << 20

func (d *draft) reset() {
	if d.spots == nil {
		d.spots = make(map[store.Key]spot)
	}
	clear(d.spots)
	if cap(d.buffer) > keptBuffer {
		d.buffer = nil
	}
	*d = draft{buffer: d.buffer[:0], spots: d.spots, gone: d.gone[:0]}
}

// commit makes what a batch has changed part of the journal.
func (j *journal) commit(d *draft, first uint64) {
	for _, key := range d.gone {
		if j.spots[key].chunk < first {
			delete(j.spots, key)
		}
	}
	for key, s := range d.spots {
		if s.chunk >= first {
			j.spots[key] = s
		} else {
			delete(j.spots, key)
		}
	}
	j.versions += d.versions
	j.bytes += d.bytes
}

// spotOf returns where the journal has the latest version of a record, if it does.
func (b *batch) spotOf(key store.Key) (s spot, ok bool) {
	if s, ok = b.draft.spots[key]; !ok {
		s, ok = b.known.spots[key]
	}
	return s, ok && s.chunk >= b.first
}

// read returns a version of the journal.
func (b *batch) read(s spot) (v revision, err error) {
	var chunk []byte
	switch {
	case s.chunk == b.next:
		chunk = b.draft.buffer[b.draft.begin:]
	case s.chunk == b.lastRead && b.lastChunk != nil:
		chunk = b.lastChunk
	default:
		key := spot{chunk: s.chunk}.key()
		chunk = b.journal.Get(key[:8])
		b.lastRead, b.lastChunk = s.chunk, chunk
	}
	v, _, err = revisionAt(s, chunk)
	return v, err
}

// note writes a version to the journal and returns its length.
func (b *batch) note(key store.Key, minute uint32, home place, body func([]byte) []byte) (int, error) {
	d := b.draft
	if d.open == 0 {
		d.begin = len(d.buffer)
		d.buffer = append(d.buffer, make([]byte, chunkHeader)...)
	}
	s := spot{b.next, uint32(len(d.buffer) - d.begin)}
	begin := len(d.buffer)
	d.buffer = append(d.buffer, make([]byte, versionHeader)...)
	d.buffer = body(d.buffer)
	v := d.buffer[begin:]
	binary.BigEndian.PutUint32(v[sumLength:], uint32(len(v)))
	binary.BigEndian.PutUint32(v[sumLength+4:], minute)
	copy(v[sumLength+8:], home[:])
	position := s.key()
	seal(position[:], v)
	d.open++
	d.versions++
	d.spots[key] = s
	if len(d.buffer)-d.begin >= fullChunk {
		return len(v), b.flush()
	}
	return len(v), nil
}

// noteRecord writes a record to the journal.
func (b *batch) noteRecord(r *stored, home place) (int, error) {
	return b.note(r.Key, minuteOf(r.Expires), home, func(to []byte) []byte { return appendBody(to, r) })
}

// noteMoved says in the journal that a record is at home.
func (b *batch) noteMoved(key store.Key, home place) error {
	_, err := b.note(key, home.minute(), home, func(to []byte) []byte {
		return append(append(to, byte(store.Absent), 0), key[:]...)
	})
	return err
}

// flush writes the chunk that is not full yet.
func (b *batch) flush() error {
	d := b.draft
	if d.open == 0 {
		return nil
	}
	chunk := d.buffer[d.begin:len(d.buffer):len(d.buffer)]
	sealChunk(b.next, chunk, d.open)
	d.bytes += len(chunk)
	d.open = 0
	b.next++
	return b.journal.Put(chunkKey(b.next-1), chunk)
}

// settleBefore settles chunks, of those before the number end, until they had so many
// versions, and reports whether some are left.
func (b *batch) settleBefore(end uint64, versions int) (left bool, err error) {
	if err := b.flush(); err != nil {
		return false, err
	}
	end = min(end, b.next)
	for settled := 0; b.first < end && settled < versions; {
		n, err := b.settleFirst()
		if err != nil {
			return false, err
		}
		settled += n
	}
	return b.first < end, nil
}

// settleFirst settles the oldest chunk of the journal.
func (b *batch) settleFirst() (versions int, err error) {
	b.dirty = true
	key := chunkKey(b.first)
	chunk := b.journal.Get(key)
	versions, err = eachRevision(b.first, chunk, firstDamage, func(v revision, err error) error {
		if err != nil {
			return err
		}
		key := keyOf(v.body)
		if s, ok := b.spotOf(key); !ok || s != v.spot {
			return nil // there is a later version
		}
		b.draft.gone = append(b.draft.gone, key)
		if v.moved() {
			return nil
		}
		_, err = b.settle(v.home, v.minute, b.draft.value(v.body))
		return err
	})
	if err != nil {
		return versions, err
	}
	b.draft.versions -= versions
	b.draft.bytes -= len(chunk)
	b.first++
	return versions, b.journal.Delete(key)
}

// value returns a copy of a body with room for its checksum, and for an entry of the
// index.
func (d *draft) value(body []byte) []byte {
	begin := len(d.buffer)
	d.buffer = append(d.buffer, 0, 0, 0, 0)
	d.buffer = append(d.buffer, body...)
	end := len(d.buffer)
	d.buffer = append(d.buffer, make([]byte, entryLength)...)
	return d.buffer[begin:end:len(d.buffer)]
}

// settleSurplus keeps the journal short.
func (b *batch) settleSurplus() error {
	if err := b.flush(); err != nil {
		return err
	}
	limit := b.opts.journalBytes()
	if b.known.versions+b.draft.versions <= b.opts.journal && b.known.bytes+b.draft.bytes <= limit {
		return nil
	}
	for b.first < b.next && (b.known.versions+b.draft.versions > b.opts.journal/2 || b.known.bytes+b.draft.bytes > limit/2) {
		if _, err := b.settleFirst(); err != nil {
			return err
		}
	}
	return nil
}
