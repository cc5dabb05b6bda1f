package journal

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/store"
)

// Tx is the journal in one commit: as it is, with what the commit appends. It is used by
// one goroutine at a time; its memory is used again after the next Begin.
type Tx struct {
	journal *Journal
	limit   int                    // versions that the journal may have, at most
	latest  map[store.Key]position // of what the commit has written
	// versions is how many there are, and end is where the next one goes.
	versions, end int
	sealed        entry
}

// headRoom is how long a head may be.
const headRoom = 512

// Begin makes t a commit to a journal that may have so many versions after it.
func (t *Tx) Begin(j *Journal, limit int) {
	clear(t.latest)
	*t = Tx{journal: j, limit: limit, latest: t.latest, end: j.tail + entryHeader}
}

// Get returns the latest version of a record, as [Journal.Get] does. The value is valid
// until the next Begin.
func (t *Tx) Get(key store.Key) (value []byte, ok bool) {
	if p, ok := t.latest[key]; ok {
		return t.journal.value(p), true
	}
	return t.journal.Get(key)
}

// Put appends the next version of a record and returns how many bytes it takes. value
// appends it to what it is given, and must append size bytes at most; the key in it must
// be this one. The error is [ErrFull].
func (t *Tx) Put(key store.Key, size int, value func([]byte) []byte) (int, error) {
	area := t.journal.area
	if t.journal.versions+t.versions >= t.limit || t.end+versionHeader+size+headRoom > len(area) {
		return 0, ErrFull
	}
	at := t.end + versionHeader
	written := len(value(area[at : at : at+size]))
	if written > size {
		return 0, ErrFull // it is not in the area
	}
	binary.BigEndian.PutUint32(area[t.end:], uint32(written))
	if t.latest == nil {
		t.latest = make(map[store.Key]position)
	}
	t.latest[key] = position{uint32(at), uint32(written)}
	t.versions++
	t.end = at + written
	return versionHeader + written, nil
}

// Seal ends the entry with a head, of at most 512 bytes, and returns what is to be written
// to the area at the offset. The error is [ErrFull].
func (t *Tx) Seal(head []byte) (bytes []byte, offset int, err error) {
	j := t.journal
	if t.end+len(head) > len(j.area) {
		return nil, 0, ErrFull
	}
	t.end += copy(j.area[t.end:], head)
	bytes = j.area[j.tail:t.end:t.end]
	seal(j.tail, bytes, j.generation, t.versions, len(head))
	t.sealed = entry{j.tail, bytes, t.versions, bytes[len(bytes)-len(head):]}
	return bytes, j.tail, nil
}
