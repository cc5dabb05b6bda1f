package journal

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// filled returns a database whose journal has several chunks and several versions of some
// records.
func filled(t *testing.T) (*bbolt.DB, *Journal) {
	t.Helper()
	db := newDB(t, t.TempDir())
	j, err := read(db, Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	var tx Tx
	for round := range 3 {
		update(t, db, j, &tx, func() error {
			for i := range 10 {
				if err := put(&tx, i+round, strings.Repeat("v", 100*(round+1))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if j.Bounds() != (Bounds{0, 3}) || j.Versions() != 30 || len(j.Keys()) != 12 {
		t.Fatalf("the journal has the chunks %v, %d versions of %d records", j.Bounds(), j.Versions(), len(j.Keys()))
	}
	return db, j
}

// Whatever byte of the journal is changed, and whatever part of it is missing, is found when
// it is read.
func TestReadFindsDamage(t *testing.T) {
	t.Parallel()
	db, j := filled(t)
	for name, change := range map[string]func(b *bbolt.Bucket) error{
		"the first chunk is missing": func(b *bbolt.Bucket) error { return b.Delete(chunkKey(0)) },
		"another chunk is missing":   func(b *bbolt.Bucket) error { return b.Delete(chunkKey(1)) },
		"the last chunk is missing":  func(b *bbolt.Bucket) error { return b.Delete(chunkKey(2)) },
		"there is one more":          func(b *bbolt.Bucket) error { return b.Put(chunkKey(3), b.Get(chunkKey(2))) },
		"a chunk in another's place": func(b *bbolt.Bucket) error { return b.Put(chunkKey(1), b.Get(chunkKey(2))) },
		"a chunk is cut":             func(b *bbolt.Bucket) error { return b.Put(chunkKey(1), b.Get(chunkKey(1))[:100]) },
		"a chunk is empty":           func(b *bbolt.Bucket) error { return b.Put(chunkKey(1), nil) },
	} {
		readDamaged(t, db, j, name, change)
	}
	var length int
	err := db.View(func(tx *bbolt.Tx) error {
		length = len(tx.Bucket(bucketName).Get(chunkKey(1)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for at := range length {
		readDamaged(t, db, j, "a changed byte", func(b *bbolt.Bucket) error {
			value := append([]byte{}, b.Get(chunkKey(1))...)
			value[at] ^= 0x10
			return b.Put(chunkKey(1), value)
		})
	}
}

// readDamaged reads a journal that was changed, and undoes the change.
func readDamaged(t *testing.T, db *bbolt.DB, j *Journal, name string, change func(b *bbolt.Bucket) error) {
	t.Helper()
	undo := errors.New("undo")
	err := db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketName)
		if err := change(b); err != nil {
			return err
		}
		if _, err := Read(b, j.Bounds(), format, stop); !damaged(err) {
			t.Errorf("%s: Read: %v", name, err)
		}
		findings := 0
		if _, err := Read(b, j.Bounds(), format, func(error) error { findings++; return nil }); err != nil || findings == 0 {
			t.Errorf("%s: %d findings, error %v", name, findings, err)
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
}

// A record whose last version is damaged is not taken for what it was before.
func TestVersionBeforeADamagedOneIsNotTheLatest(t *testing.T) {
	t.Parallel()
	db := newDB(t, t.TempDir())
	j, err := read(db, Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	var tx Tx
	update(t, db, j, &tx, func() error { return errors.Join(put(&tx, 1, "good"), put(&tx, 2, "good"), put(&tx, 1, "!")) })
	findings := 0
	err = db.View(func(btx *bbolt.Tx) error {
		j, err := Read(btx.Bucket(bucketName), j.Bounds(), format, func(error) error { findings++; return nil })
		if err == nil && !reflect.DeepEqual(j.Keys(), []store.Key{key(2)}) {
			t.Errorf("the records are %v", j.Keys())
		}
		return err
	})
	if err != nil || findings != 1 {
		t.Errorf("%d findings, error %v", findings, err)
	}
}

// Commits of single changes share a chunk, until it is long enough; a large commit has several.
func TestChunksAreNeitherShortNorLong(t *testing.T) {
	t.Parallel()
	db := newDB(t, t.TempDir())
	j, err := read(db, Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	var tx Tx
	for i := range 9 {
		update(t, db, j, &tx, func() error { return put(&tx, i, strings.Repeat("v", 60)) })
	}
	if j.Bounds() != (Bounds{0, 2}) {
		t.Errorf("nine short commits have made the chunks %v", j.Bounds())
	}
	update(t, db, j, &tx, func() error {
		for i := range 200 {
			if err := put(&tx, i, strings.Repeat("v", 160)); err != nil {
				return err
			}
		}
		return nil
	})
	if j.Bounds() != (Bounds{0, 6}) {
		t.Errorf("40 KB more have made the chunks %v", j.Bounds())
	}
}

// A journal that is longer than it may be is flushed down to a half, or to what is necessary.
func TestTrimKeepsTheLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limits    Limits
		necessary bool
		versions  int
	}{
		{Limits{Versions: 30, Bytes: 1 << 20}, false, 30},
		{Limits{Versions: 29, Bytes: 1 << 20}, true, 20},
		{Limits{Versions: 29, Bytes: 1 << 20}, false, 10},
		{Limits{Versions: 1, Bytes: 1 << 20}, true, 0},
		{Limits{Versions: 30, Bytes: 4000}, true, 10},
		{Limits{Versions: 30, Bytes: 4000}, false, 0},
	} {
		db, j := filled(t)
		var tx Tx
		flushed := 0
		update(t, db, j, &tx, func() error {
			return tx.Trim(c.limits, c.necessary, func(Version) error { flushed++; return nil })
		})
		if j.Versions() != c.versions || flushed+len(j.Keys()) != 12 {
			t.Errorf("%+v: %d versions are left, and %d records of 12 were flushed", c, j.Versions(), flushed)
		}
	}
}

// An error of what takes the versions ends a flush.
func TestFlushEndsWithTheErrorOfItsTarget(t *testing.T) {
	t.Parallel()
	db, j := filled(t)
	full := errors.New("no room")
	err := db.Update(func(btx *bbolt.Tx) error {
		var tx Tx
		tx.Begin(j, btx.Bucket(bucketName))
		_, err := tx.Flush(j.Bounds().Next, j.Versions(), func(Version) error { return full })
		return err
	})
	if !errors.Is(err, full) {
		t.Errorf("Flush: %v", err)
	}
	if again, err := read(db, j.Bounds()); err != nil || !reflect.DeepEqual(again, j) {
		t.Errorf("the journal has changed, error %v", err)
	}
}
