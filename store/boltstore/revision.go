package boltstore

import (
	"encoding/binary"
	"errors"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// revision is a record in the journal:
//
//	minute in which it expires, its place among the records, record
//
// where the place is zero if no version of the record has one yet. A record of the
// state Absent has only a key, and says that what lies at the place is the latest.
type revision struct {
	minute uint32
	place  place
	body   []byte
}

const (
	revisionHeader = 4 + len(place{})
	movedBody      = 2 + len(store.Key{})
)

// journalFormat tells the journal what revisions are.
var journalFormat = &journal.Format{
	Key: keyOfRevision,
	Check: func(value []byte) error {
		r, err := parseRevision(value)
		if err == nil && !r.moved() {
			_, err = r.decode()
		}
		return err
	},
}

func keyOfRevision(value []byte) (key store.Key, err error) {
	if len(value) < revisionHeader+movedBody {
		return key, errors.New("it is too short")
	}
	return keyOf(value[revisionHeader:]), nil
}

func appendRevision(b []byte, minute uint32, p place) []byte {
	return append(binary.BigEndian.AppendUint32(b, minute), p[:]...)
}

// parseRevision returns the revision that a value of the journal is.
func parseRevision(value []byte) (r revision, err error) {
	if _, err := keyOfRevision(value); err != nil {
		return r, err
	}
	r = revision{minute: binary.BigEndian.Uint32(value), place: place(value[4:]), body: value[revisionHeader:]}
	if r.moved() && (len(r.body) != movedBody || r.place == place{}) {
		return r, errors.New("it is nowhere")
	}
	return r, nil
}

// moved reports whether the record is not in the journal, but at its place.
func (r revision) moved() bool { return store.State(r.body[0]) == store.Absent }

// decode returns the record, if it has not moved.
func (r revision) decode() (stored, error) {
	s, err := decodeBody(r.body)
	if err == nil && minuteOf(s.Expires) != r.minute {
		err = integrity.ErrSum
	}
	return s, err
}

// revision returns the latest revision of a record, if it is in the journal.
func (b *batch) revision(key store.Key) (r revision, ok bool, err error) {
	v, ok, err := b.journal.Get(key)
	if err != nil || !ok {
		return r, ok, err
	}
	if r, err = parseRevision(v.Value); err != nil {
		err = v.Damaged(err.Error())
	}
	return r, true, err
}

// putRevision writes a record to the journal and returns how many bytes it takes.
func (b *batch) putRevision(r *stored, at place) (int, error) {
	return b.journal.Put(r.Key, func(to []byte) []byte {
		return appendBody(appendRevision(to, minuteOf(r.Expires), at), r)
	})
}

// putMoved says in the journal that a record is at its place.
func (b *batch) putMoved(key store.Key, at place) error {
	_, err := b.journal.Put(key, func(to []byte) []byte {
		to = append(appendRevision(to, at.minute(), at), byte(store.Absent), 0)
		return append(to, key[:]...)
	})
	return err
}

// flushBefore flushes the chunks of the journal before the number end, with about as many
// versions, and reports whether some are left.
func (b *batch) flushBefore(end uint64, versions int) (left bool, err error) {
	before := b.journal.Bounds().First
	left, err = b.journal.Flush(end, versions, b.flush)
	b.dirty = b.dirty || b.journal.Bounds().First != before
	return left, err
}

// flush writes a version that the journal gives up to its place.
func (b *batch) flush(v journal.Version) error {
	r, err := parseRevision(v.Value)
	if err != nil {
		return v.Damaged(err.Error())
	}
	if r.moved() {
		return nil
	}
	value := make([]byte, integrity.SumLength, integrity.SumLength+len(r.body)+entryLength)
	_, err = b.put(r.place, r.minute, append(value, r.body...))
	return err
}
