package boltstore

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// The journal's area is one value of bbolt's, so that the file is one file, and a copy of
// it has all. Nobody writes to that value's bucket, so bbolt leaves its pages where they
// are, and the area is written in place, past bbolt: a write and one sync for a commit,
// where bbolt needs a tree of pages, and two.

var areaKey = []byte("area")

// areaBegin is where the area begins in its value: 16 KiB behind the beginning of a page,
// which is a multiple of 4 KiB, so that the journal's blocks have nothing else in them. It
// is the same for all sizes of pages, as a compacted file may have another one.
const areaBegin = 16<<10 - pageHeader - elementLength - 4

// resize gives the journal, which must be empty, an area of so many bytes.
func (t *table) resize(size int) error {
	if err := t.open(); err != nil {
		return err
	}
	if size == 0 {
		return t.area.Delete(areaKey)
	}
	return t.area.Put(areaKey, make([]byte, areaBegin+size))
}

// areaOf returns where in the file the area lies, whose value begins the file's page that
// a committed transaction says, and its size: 0 if there is none.
func (f *file) areaOf(tx *bbolt.Tx) (offset int64, size int, err error) {
	b := tx.Bucket(journalKey)
	if b == nil {
		return 0, 0, errNoBucket
	}
	value := b.Get(areaKey)
	if value == nil {
		return 0, 0, nil
	}
	pageSize := int64(tx.DB().Info().PageSize)
	page := int64(b.Root()) * pageSize
	header := make([]byte, pageHeader+elementLength)
	if _, err := f.f.Load().ReadAt(header, page); err != nil {
		return 0, 0, err
	}
	element := header[pageHeader:]
	size = int(native.Uint32(element[12:])) - areaBegin
	if native.Uint16(header[8:]) != leafPage || native.Uint16(header[10:]) != 1 || size <= 0 || len(value) != areaBegin+size ||
		native.Uint32(element[4:]) != elementLength || native.Uint32(element[8:]) != uint32(len(areaKey)) {
		return 0, 0, integrity.Damaged("the journal's area is not where it should be")
	}
	return page + pageHeader + elementLength + int64(len(areaKey)) + areaBegin, size, nil
}

// readJournal reads the journal of a store, and tells report what is wrong with it. offset
// is where its area lies.
func (f *file) readJournal(tx *bbolt.Tx, report func(error) error) (j *journal.Journal, offset int64, err error) {
	t, err := tableOf(tx)
	if err != nil {
		return nil, 0, err
	}
	h, err := t.head()
	if err != nil {
		return nil, 0, err
	}
	offset, size, err := f.areaOf(tx)
	if err != nil {
		return nil, 0, err
	}
	area := make([]byte, size)
	if _, err := f.f.Load().ReadAt(area, offset); err != nil {
		return nil, 0, fmt.Errorf("read the journal: %w", err)
	}
	j, err = journal.Read(area, h.generation, journalFormat, report)
	return j, offset, err
}

// rewrite writes the last entry of the journal once more, as it is: a process that was
// killed, or a sync that has failed, may have left it where the disk does not have it, and
// the system takes it for written. Who calls it has the file synced before a further entry.
func (f *file) rewrite(j *journal.Journal, area int64) error {
	entry, offset := j.Last()
	if _, err := f.f.Load().WriteAt(entry, area+int64(offset)); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// follow goes where the area is that a function of the application may have moved: to set
// the sequence of the journal's bucket is enough for that, and cannot be seen before the
// commit. The journal is empty by then, and the area's old pages are still nobody's.
func (s *Store) follow() {
	err := s.file.in(s.db.View, func(tx *bbolt.Tx) error {
		area, _, err := s.file.areaOf(tx)
		if err != nil || area == s.area {
			return err
		}
		s.area = area
		return errMoved
	})
	if errors.Is(err, errMoved) {
		err = s.again()
	}
	if err != nil {
		s.unconfirmed.Store(true) // the next commit finds out, before it
	}
}

// errMoved says that the area is elsewhere than before.
var errMoved = errors.New("boltstore: the area of the journal was moved")

// again commits the head once more, as it is: with that both of bbolt's meta pages know
// where the area is. If one is damaged, the journal is not lost.
func (s *Store) again() error {
	var b *batch
	err := s.file.in(s.db.Update, func(tx *bbolt.Tx) (err error) {
		if b, err = newBatch(tx, s.opts, *s.head.Load()); err != nil {
			return err
		}
		b.txid = uint64(tx.ID())
		return b.finish()
	})
	if err == nil {
		s.show(b, func() {})
	}
	return err
}

// headWith returns the head of a store with that journal: the journal's, if it has one that
// is of this epoch.
func (t table) headWith(j *journal.Journal) (head, error) {
	h, err := t.head()
	if err != nil {
		return h, err
	}
	if h.generation != j.Generation() {
		return h, integrity.Damaged("the journal is of generation %x, and should be of %x", j.Generation(), h.generation)
	}
	if j.Head() == nil {
		return h, nil
	}
	later, have, err := decodeHead(j.Head())
	switch {
	case err == nil && (have != version || later.id != h.id || later.generation != h.generation):
		err = errors.New("it is another store's")
		fallthrough
	case err != nil:
		return h, integrity.Damaged("the journal: its head: %v", err)
	case later.epoch < h.epoch:
		return h, nil // an opening came after it
	}
	return later, nil
}

// journalFormat tells the journal what its values are: bodies of records.
var journalFormat = &journal.Format{
	Key: func(value []byte) (key store.Key, err error) {
		if len(value) < 2+len(key) {
			return key, errors.New("it is too short")
		}
		return keyOf(value), nil
	},
	Check: func(value []byte) error {
		_, err := decodeBody(value)
		return err
	},
}
