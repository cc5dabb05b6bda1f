package boltstore

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// layout writes a record, which is new or not, in one of the ways in which a file
// could hold them.
type layout func(tx *bbolt.Tx, i int, fresh bool, value []byte) error

// byKey has the records under their keys, and an index by minute and key.
func byKey(tx *bbolt.Tx, i int, fresh bool, value []byte) error {
	key := numbered(i)
	err := tx.Bucket(recordsKey).Put(key[:], value)
	if !fresh {
		return err
	}
	expiry := binary.BigEndian.AppendUint32(nil, uint32(i/10_000))
	return errors.Join(err, tx.Bucket(indexKey).Put(append(expiry, key[:]...), nil))
}

// byTime is the store's: the records under minute and number, and an index by key.
func byTime(tx *bbolt.Tx, i int, fresh bool, value []byte) error {
	key := numbered(i)
	p := placeOf(uint32(i/10_000), uint64(i))
	records := tx.Bucket(recordsKey)
	records.FillPercent = 0.9
	err := records.Put(p[:], value)
	if !fresh {
		return err
	}
	return errors.Join(err, tx.Bucket(indexKey).Put(key[:], encodeEntry(key, p)))
}

// BenchmarkLayouts writes groups of 256 records of 250 bytes, and then once more,
// longer, to two files with 100,000 records, interleaved in one run. "x" is how
// many times as fast the order of time is.
func BenchmarkLayouts(b *testing.B) {
	const there, group = 100_000, 256
	layouts := []layout{byKey, byTime}
	var files []*bbolt.DB
	write := func(db *bbolt.DB, l layout, from, n int, fresh bool, size int) {
		err := db.Update(func(tx *bbolt.Tx) error {
			for i := range n {
				if err := l(tx, from+i, fresh, make([]byte, size)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, l := range layouts {
		db, err := bbolt.Open(filepath.Join(b.TempDir(), "layout.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if err := db.Update(createTable); err != nil {
			b.Fatal(err)
		}
		for i := 0; i < there; i += there / 20 {
			write(db, l, i, there/20, true, 250)
		}
		files = append(files, db)
	}
	var took [2]time.Duration
	next := there
	for b.Loop() {
		for i, l := range layouts {
			began := time.Now()
			write(files[i], l, next, group, true, 200)
			write(files[i], l, next, group, false, 250)
			took[i] += time.Since(began)
		}
		next += group
	}
	pairs := float64(next - there)
	b.ReportMetric(pairs/took[0].Seconds(), "by-key-pairs/s")
	b.ReportMetric(pairs/took[1].Seconds(), "by-time-pairs/s")
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "x")
	b.ReportMetric(0, "ns/op")
}
