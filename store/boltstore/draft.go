package boltstore

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/store"
)

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
	tail     int // bytes of the last chunk
}

// keptBuffer is how much of a draft's memory is kept.
const keptBuffer = 4 << 20

func (d *draft) reset(known *journal) {
	if d.spots == nil {
		d.spots = make(map[store.Key]spot)
	}
	clear(d.spots)
	if cap(d.buffer) > keptBuffer {
		d.buffer = nil
	}
	*d = draft{buffer: d.buffer[:0], spots: d.spots, gone: d.gone[:0], tail: known.tail}
}

// commit makes what a batch has changed part of the journal.
func (j *journal) commit(d *draft, h *head) {
	for _, key := range d.gone {
		if j.spots[key].chunk < h.first {
			delete(j.spots, key)
		}
	}
	for key, s := range d.spots {
		if s.chunk >= h.first {
			j.spots[key] = s
		} else {
			delete(j.spots, key)
		}
	}
	j.versions += d.versions
	j.bytes += d.bytes
	j.tail = d.tail
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
		if err := b.openChunk(); err != nil {
			return 0, err
		}
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

// openChunk begins a chunk, or goes on with the last one if that is short.
func (b *batch) openChunk() error {
	d := b.draft
	d.begin = len(d.buffer)
	if b.first == b.next || d.tail >= shortChunk {
		d.buffer = append(d.buffer, make([]byte, chunkHeader)...)
		return nil
	}
	chunk := b.journal.Get(chunkKey(b.next - 1))
	versions, err := chunkVersions(b.next-1, chunk)
	if err != nil {
		return err
	}
	b.next--
	b.lastChunk = nil // it may be this one, as it was
	d.bytes -= len(chunk)
	d.buffer = append(d.buffer, chunk...)
	d.open = versions
	return nil
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
	d.tail = len(chunk)
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
	if b.first++; b.first == b.next {
		b.draft.tail = 0
	}
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

// settleSurplus keeps the journal short. It settles half of it at a time, which takes the
// fewest pages in all, or no more than it must where the disk has no room for so many.
func (b *batch) settleSurplus() error {
	if err := b.flush(); err != nil {
		return err
	}
	if !b.longer(1) {
		return nil
	}
	part := 2
	if b.tight {
		part = 1
	}
	for b.first < b.next && b.longer(part) {
		if _, err := b.settleFirst(); err != nil {
			return err
		}
	}
	return nil
}

// longer reports whether the journal has more than that part of what it may.
func (b *batch) longer(part int) bool {
	return int(b.next-b.first) > maxChunks/part || b.known.versions+b.draft.versions > b.opts.journal/part ||
		b.known.bytes+b.draft.bytes > b.opts.journalBytes()/part
}
