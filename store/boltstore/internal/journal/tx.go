package journal

import (
	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

const (
	// fullChunk is the length from which a chunk takes no more, so that two of them
	// make a page of some 16 KiB, which is rewritten while it is the last one.
	fullChunk = 8 << 10
	// shortChunk is the length up to which a later commit continues the last chunk:
	// commits of single changes would make many. Five that are just longer make a
	// page of 4 KiB, which is the fewest that bbolt splits pages for.
	shortChunk = 500
	// keptBuffer is how much memory a Tx keeps for the next transaction.
	keptBuffer = 4 << 20
)

// Tx is the journal in one transaction of bbolt: as it was committed, with what the
// transaction changes. A Tx is used by one goroutine at a time. Its memory is used again
// after the next Begin.
type Tx struct {
	journal *Journal
	bucket  *bbolt.Bucket
	bounds  Bounds

	latest   map[store.Key]position // of what the transaction has written
	flushed  []store.Key
	versions int // added, less those of chunks that were flushed
	bytes    int // likewise
	tail     int // bytes of the last chunk

	buffer       []byte // what the transaction has written: bbolt copies it when it commits
	begin        int    // where the open chunk begins in it
	openVersions int    // of the open chunk, whose number is bounds.Next; 0 if there is none

	lastRead chunk // the chunk that was read last
}

// Begin makes t the journal in a transaction whose bucket that is. It may write if the
// transaction may.
func (t *Tx) Begin(j *Journal, bucket *bbolt.Bucket) {
	bucket.FillPercent = 1 // chunks are added at the end
	clear(t.latest)
	if cap(t.buffer) > keptBuffer {
		t.buffer = nil
	}
	*t = Tx{
		journal: j, bucket: bucket, bounds: j.bounds,
		latest: t.latest, flushed: t.flushed[:0], tail: j.tail, buffer: t.buffer[:0],
	}
}

// Bounds are those with what the transaction has written, once that is complete: see
// [Tx.Seal].
func (t *Tx) Bounds() Bounds { return t.bounds }

// find returns where the latest version of a record is, if it is in the journal.
func (t *Tx) find(key store.Key) (p position, ok bool) {
	if p, ok = t.latest[key]; !ok {
		p, ok = t.journal.latest[key]
	}
	return p, ok && p.chunk >= t.bounds.First
}

// Has reports whether the journal has a version of a record.
func (t *Tx) Has(key store.Key) bool {
	_, ok := t.find(key)
	return ok
}

// Get returns the latest version of a record; ok is false if the journal has none. The
// error is a damage.
func (t *Tx) Get(key store.Key) (v Version, ok bool, err error) {
	p, ok := t.find(key)
	if !ok {
		return v, false, nil
	}
	v, _, err = t.chunk(p.chunk).version(p.offset)
	if err != nil {
		return v, true, err
	}
	if have, err := t.journal.format.Key(v.Value); err != nil || have != key {
		return v, true, v.Damaged("it is of another record")
	}
	return v, true, nil
}

func (t *Tx) chunk(number uint64) chunk {
	switch {
	case number == t.bounds.Next:
		return chunk{number, t.buffer[t.begin:]}
	case number != t.lastRead.number || t.lastRead.bytes == nil:
		t.lastRead = chunk{number, t.bucket.Get(chunkKey(number))}
	}
	return t.lastRead
}

// Put writes the next version of a record and returns how many bytes it takes. value
// appends it to what it is given; the key in it must be this one.
func (t *Tx) Put(key store.Key, value func([]byte) []byte) (size int, err error) {
	if t.openVersions == 0 {
		if err := t.openChunk(); err != nil {
			return 0, err
		}
	}
	p := position{t.bounds.Next, uint32(len(t.buffer) - t.begin)}
	begin := len(t.buffer)
	t.buffer = append(t.buffer, make([]byte, versionHeader)...)
	t.buffer = value(t.buffer)
	open := chunk{p.chunk, t.buffer[t.begin:]}
	open.sealVersion(p.offset)
	t.openVersions++
	t.versions++
	if t.latest == nil {
		t.latest = make(map[store.Key]position)
	}
	t.latest[key] = p
	size = len(t.buffer) - begin
	if len(open.bytes) >= fullChunk {
		return size, t.Seal()
	}
	return size, nil
}

// openChunk begins a chunk, or continues the last one if that is short.
func (t *Tx) openChunk() error {
	t.begin = len(t.buffer)
	if t.bounds.First == t.bounds.Next || t.tail >= shortChunk {
		t.buffer = append(t.buffer, make([]byte, chunkHeader)...)
		return nil
	}
	last := chunk{t.bounds.Next - 1, t.bucket.Get(chunkKey(t.bounds.Next - 1))}
	versions, err := last.versions()
	if err != nil {
		return err
	}
	t.bounds.Next--
	t.lastRead = chunk{} // it may be this one, as it was
	t.bytes -= len(last.bytes)
	t.buffer = append(t.buffer, last.bytes...)
	t.openVersions = versions
	return nil
}

// Seal completes what was written, which must be the last thing that happens to the
// journal before the transaction is committed.
func (t *Tx) Seal() error {
	if t.openVersions == 0 {
		return nil
	}
	done := chunk{t.bounds.Next, t.buffer[t.begin:len(t.buffer):len(t.buffer)]}
	done.seal(t.openVersions)
	t.bytes += len(done.bytes)
	t.tail = len(done.bytes)
	t.openVersions = 0
	t.bounds.Next++
	return t.bucket.Put(chunkKey(done.number), done.bytes)
}

// Flush flushes the oldest chunks, of those before the number end, until they had so many
// versions or none is left, and reports whether some are. It calls to with the latest
// version of each record in them; to must not use the journal.
func (t *Tx) Flush(end uint64, versions int, to func(Version) error) (left bool, err error) {
	if err := t.Seal(); err != nil {
		return false, err
	}
	end = min(end, t.bounds.Next)
	for flushed := 0; t.bounds.First < end && flushed < versions; {
		n, err := t.flushFirst(to)
		if err != nil {
			return false, err
		}
		flushed += n
	}
	return t.bounds.First < end, nil
}

// Trim flushes the oldest chunks, as Flush does, if the journal is longer than it may be:
// until it is half as long, which takes the fewest pages in all, or, if only what is
// necessary may be flushed, until it is within its limits.
func (t *Tx) Trim(l Limits, necessary bool, to func(Version) error) error {
	if err := t.Seal(); err != nil {
		return err
	}
	if !t.exceeds(l, 1) {
		return nil
	}
	part := 2
	if necessary {
		part = 1
	}
	for t.bounds.First < t.bounds.Next && t.exceeds(l, part) {
		if _, err := t.flushFirst(to); err != nil {
			return err
		}
	}
	return nil
}

// exceeds reports whether the journal has more than that part of what it may.
func (t *Tx) exceeds(l Limits, part int) bool {
	return int(t.bounds.Next-t.bounds.First) > maxChunks/part ||
		t.journal.versions+t.versions > l.Versions/part || t.journal.bytes+t.bytes > l.Bytes/part
}

// flushFirst flushes the oldest chunk. No chunk is open.
func (t *Tx) flushFirst(to func(Version) error) (versions int, err error) {
	first := chunk{t.bounds.First, t.bucket.Get(chunkKey(t.bounds.First))}
	stop := func(err error) error { return err }
	versions, err = first.each(stop, func(v Version, err error) error {
		if err != nil {
			return err
		}
		key, err := t.journal.format.Key(v.Value)
		if err != nil {
			return v.Damaged(err.Error())
		}
		if p, ok := t.find(key); !ok || p != v.at {
			return nil // there is a later version
		}
		t.flushed = append(t.flushed, key)
		return to(v)
	})
	if err != nil {
		return versions, err
	}
	t.versions -= versions
	t.bytes -= len(first.bytes)
	if t.bounds.First++; t.bounds.First == t.bounds.Next {
		t.tail = 0
	}
	return versions, t.bucket.Delete(chunkKey(first.number))
}
