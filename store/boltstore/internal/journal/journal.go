package journal

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// Bounds are the numbers of the first chunk and of the next one: the journal has those
// from First to Next-1. The zero value is that of a journal that was never written.
type Bounds struct{ First, Next uint64 }

// Format is what the journal has to know of values. Its functions must not keep a value.
type Format struct {
	// Key returns the key in a value, which may be damaged.
	Key func(value []byte) (store.Key, error)
	// Check returns what is wrong with a value whose checksum is right, or nil.
	Check func(value []byte) error
}

// Limits are how long the journal may be between two commits.
type Limits struct {
	Versions int // those that are not the latest count, too
	Bytes    int // of all chunks
}

// maxChunks bounds the pages that lead to chunks.
const maxChunks = 256

// Journal is the journal as it was last committed. It may be read by several goroutines,
// but not during Apply.
type Journal struct {
	format   *Format
	bounds   Bounds
	latest   map[store.Key]position
	versions int // in all chunks, those that are not the latest too
	bytes    int // of all chunks
	tail     int // bytes of the last chunk
}

// Read reads the whole journal from its bucket and verifies it. What is wrong it tells
// report, and goes on as long as that returns nil; an error is what report returned.
func Read(bucket *bbolt.Bucket, bounds Bounds, format *Format, report func(error) error) (*Journal, error) {
	j := &Journal{format: format, bounds: bounds, latest: make(map[store.Key]position)}
	next := bounds.First
	c := bucket.Cursor()
	for k, b := c.First(); k != nil; k, b = c.Next() {
		if !bytes.Equal(k, chunkKey(next)) {
			return j, report(integrity.Damaged("the journal: there is %x in the place of chunk %d", k, next))
		}
		n, err := chunk{next, b}.each(report, j.note)
		if err != nil {
			return nil, err
		}
		j.versions += n
		j.bytes += len(b)
		j.tail = len(b)
		next++
	}
	if next != bounds.Next {
		return j, report(integrity.Damaged("the journal: it ends before chunk %d of %d", next, bounds.Next))
	}
	return j, nil
}

// note makes a version that was read the latest of its record. If it is damaged, no version
// is: the ones before it are not the latest.
func (j *Journal) note(v Version, damage error) error {
	key, err := j.format.Key(v.Value)
	switch {
	case damage != nil:
	case err != nil:
		damage = v.Damaged(err.Error())
	default:
		if err := j.format.Check(v.Value); err != nil {
			damage = v.Damaged(err.Error())
		}
	}
	if damage != nil {
		if err == nil {
			delete(j.latest, key)
		}
		return damage
	}
	j.latest[key] = v.at
	return nil
}

// Bounds are those of the last commit.
func (j *Journal) Bounds() Bounds { return j.bounds }

// Versions is how many versions the journal has, those that are not the latest too.
func (j *Journal) Versions() int { return j.versions }

// Keys returns the keys of the records in the journal, in the order in which their latest
// versions were written.
func (j *Journal) Keys() []store.Key {
	return slices.SortedFunc(maps.Keys(j.latest), func(a, b store.Key) int {
		p, q := j.latest[a], j.latest[b]
		return cmp.Or(cmp.Compare(p.chunk, q.chunk), cmp.Compare(p.offset, q.offset))
	})
}

// Apply makes the changes of a transaction that has been committed those of the journal.
func (j *Journal) Apply(t *Tx) {
	for _, key := range t.flushed {
		if j.latest[key].chunk < t.bounds.First {
			delete(j.latest, key)
		}
	}
	for key, p := range t.latest {
		if p.chunk >= t.bounds.First {
			j.latest[key] = p
		} else {
			delete(j.latest, key)
		}
	}
	j.bounds = t.bounds
	j.versions += t.versions
	j.bytes += t.bytes
	j.tail = t.tail
}
