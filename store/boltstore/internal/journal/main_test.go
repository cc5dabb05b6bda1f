package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var bucketName = []byte("journal")

// The values of these tests are a key and then any bytes, of which the first must not be '!'.
var format = &Format{
	Key: func(value []byte) (key store.Key, err error) {
		if len(value) < len(key) {
			return key, errors.New("it has no key")
		}
		return store.Key(value), nil
	},
	Check: func(value []byte) error {
		if bytes.HasPrefix(value[len(store.Key{}):], []byte("!")) {
			return errors.New("it is refused")
		}
		return nil
	},
}

func key(i int) (k store.Key) {
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

// newDB returns a database with an empty bucket.
func newDB(t testing.TB, dir string) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "journal.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucketName)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func stop(err error) error { return err }

// read reads the journal of a database.
func read(db *bbolt.DB, bounds Bounds) (j *Journal, err error) {
	err = db.View(func(tx *bbolt.Tx) (err error) {
		j, err = Read(tx.Bucket(bucketName), bounds, format, stop)
		return err
	})
	return j, err
}

// update changes the journal in a transaction and applies it.
func update(t testing.TB, db *bbolt.DB, j *Journal, tx *Tx, fn func() error) {
	t.Helper()
	err := db.Update(func(btx *bbolt.Tx) error {
		tx.Begin(j, btx.Bucket(bucketName))
		return errors.Join(fn(), tx.Seal())
	})
	if err != nil {
		t.Fatal(err)
	}
	j.Apply(tx)
}

func put(tx *Tx, i int, value string) error {
	k := key(i)
	_, err := tx.Put(k, func(b []byte) []byte { return append(append(b, k[:]...), value...) })
	return err
}

func damaged(err error) bool { return errors.As(err, new(*integrity.DamageError)) }
