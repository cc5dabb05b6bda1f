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
	// fullChunk is the length from which a chunk takes no more, so that two of them
	// make a page of some 16 KiB, which is rewritten while it is the last one.
	fullChunk = 8 << 10
	// shortChunk is the length up to which a later commit goes on with the last chunk:
	// commits of single changes would else make many. Five that are just longer make a
	// page of 4 KiB, which is the fewest that bbolt splits pages for.
	shortChunk = 500
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
	tail     int                // bytes of the last chunk
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

// chunkVersions returns how many versions a chunk has, by its header.
func chunkVersions(chunk uint64, b []byte) (uint32, error) {
	header, err := unseal(chunkKey(chunk), b[:min(chunkHeader, len(b))])
	if err != nil || len(b) < chunkHeader || int64(binary.BigEndian.Uint32(header[4:])) != int64(len(b)) {
		return 0, damaged("the journal: the header of chunk %d is wrong", chunk)
	}
	return binary.BigEndian.Uint32(header), nil
}

// eachRevision calls fn with the versions of a chunk and, if one is damaged, with what
// is wrong with it; and report with that, and with what fn returns. It goes on as long as report returns nil, and then returns what report did.
func eachRevision(chunk uint64, b []byte, report func(error) error, fn func(revision, error) error) (versions int, err error) {
	said, err := chunkVersions(chunk, b)
	if err != nil {
		return 0, report(err)
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
	if versions != int(said) {
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
		j.tail = len(b)
		next++
	}
	if next != h.next {
		return j, report(damaged("the journal: it ends before chunk %d of %d", next, h.next))
	}
	return j, nil
}
