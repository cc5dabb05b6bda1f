package journal

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// ErrFull says that the journal has no room for a version: it has to be flushed before.
var ErrFull = errors.New("journal: full")

// Format is what the journal has to know of values. Its functions must not keep a value.
type Format struct {
	// Key returns the key in a value, which may be damaged.
	Key func(value []byte) (store.Key, error)
	// Check returns what is wrong with a value whose checksum is right, or nil.
	Check func(value []byte) error
}

// Journal is the journal as it was last committed. It may be read by several goroutines,
// but not during Apply, Forget and Reset.
type Journal struct {
	area       []byte // the content of the file's area, as far as tail
	generation Generation
	tail       int // where the next entry begins
	last       entry
	latest     map[store.Key]position
	versions   int // those that are not the latest, too
}

// Read returns the journal of a generation that an area has, which it keeps, and verifies
// it. What is wrong it tells report, and goes on as long as that returns nil; an error is
// what report returned. A journal in an area of no bytes is always empty, and full.
func Read(area []byte, generation Generation, format *Format, report func(error) error) (*Journal, error) {
	j := &Journal{area: area, generation: generation, latest: make(map[store.Key]position)}
	if _, other, ok := first(area); ok && other != generation && other.Number >= generation.Number {
		err := report(integrity.Damaged("the journal is of generation %x, and the rest of the file of %x", other, generation))
		if err != nil {
			return nil, err
		}
	}
	for {
		e, ok := parse(area, j.tail, generation)
		if !ok {
			if e, ok = next(area, j.tail, generation); !ok {
				return j, nil
			}
			if err := report(integrity.Damaged("the journal: the entry at %d is not whole, and is not the last", j.tail)); err != nil {
				return nil, err
			}
		}
		if err := j.note(e, format, report); err != nil {
			return nil, err
		}
	}
}

// note makes an entry that was read the last one. If a version is damaged, none of its
// record is the latest: those before it are not.
func (j *Journal) note(e entry, format *Format, report func(error) error) error {
	err := e.each(func(p position) error {
		value := j.value(p)
		key, err := format.Key(value)
		if err != nil {
			return report(e.damaged(err.Error()))
		}
		if err := format.Check(value); err != nil {
			delete(j.latest, key)
			return report(e.damaged(err.Error()))
		}
		j.latest[key] = p
		return nil
	})
	if damage, ok := errors.AsType[*integrity.DamageError](err); ok {
		err = report(damage)
	}
	j.versions += e.versions
	j.last, j.tail = e, aligned(e.offset+len(e.bytes))
	return err
}

func (j *Journal) value(p position) []byte {
	return j.area[p.offset : p.offset+p.length : p.offset+p.length]
}

// Generation is that of the journal's entries.
func (j *Journal) Generation() Generation { return j.generation }

// Size is that of the area in bytes.
func (j *Journal) Size() int { return len(j.area) }

// Versions is how many versions the journal has, those that are not the latest too.
func (j *Journal) Versions() int { return j.versions }

// Head is that of the last entry, and nil if there is none. It must not be changed, and is
// valid until the next change of the journal.
func (j *Journal) Head() []byte { return j.last.head }

// Last returns the last entry, and its offset in the area: a process that was killed may
// have written it and not synced it. It is empty if there is none.
func (j *Journal) Last() (bytes []byte, offset int) { return j.last.bytes, j.last.offset }

// Keys returns the keys of the records that were not flushed, in order.
func (j *Journal) Keys() []store.Key {
	keys := slices.AppendSeq(make([]store.Key, 0, len(j.latest)), maps.Keys(j.latest))
	slices.SortFunc(keys, func(a, b store.Key) int { return bytes.Compare(a[:], b[:]) })
	return keys
}

// Get returns the latest version of a record; ok is false if the journal has none. The
// value must not be changed, and is valid until the next Reset.
func (j *Journal) Get(key store.Key) (value []byte, ok bool) {
	p, ok := j.latest[key]
	if !ok {
		return nil, false
	}
	return j.value(p), true
}

// Apply makes the entry of a transaction, which has been written, the last one.
func (j *Journal) Apply(t *Tx) {
	maps.Copy(j.latest, t.latest)
	j.versions += t.versions
	j.last, j.tail = t.sealed, aligned(t.end)
}

// Forget forgets records that were flushed. They are in the area still, and are read again
// with it, until the next generation begins.
func (j *Journal) Forget(keys []store.Key) {
	for _, key := range keys {
		delete(j.latest, key)
	}
}

// Reset begins a generation, without an entry.
func (j *Journal) Reset(generation Generation) {
	clear(j.latest)
	j.generation, j.tail, j.last, j.versions = generation, 0, entry{}, 0
}
