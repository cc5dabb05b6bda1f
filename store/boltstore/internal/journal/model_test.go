package journal

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// model is what a journal and the place to which it is flushed should have.
type model struct {
	journal map[int]string // the latest values that were not flushed
	place   map[int]string // those that were
}

func (m model) clone() model { return model{maps.Clone(m.journal), maps.Clone(m.place)} }

const modelKeys = 8

var errUndo = errors.New("undo")

// Whatever transactions do to a journal, each sees what was done before, what is flushed is the
// latest of each record, once, and what is known in memory is what the file has: when a
// transaction is rolled back, too.
func TestJournalIsAsItsModel(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	rapid.Check(t, func(rt *rapid.T) {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = errors.Join(db.Close(), os.Remove(path)) }()
		err = db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket(bucketName)
			return err
		})
		j, readErr := read(db, Bounds{})
		if err := errors.Join(err, readErr); err != nil {
			rt.Fatal(err)
		}
		m := model{make(map[int]string), make(map[int]string)}
		var tx Tx
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			changed := m.clone()
			undo := rapid.IntRange(0, 3).Draw(rt, "undo") == 0
			err := db.Update(func(btx *bbolt.Tx) error {
				tx.Begin(j, btx.Bucket(bucketName))
				for range rapid.IntRange(1, 30).Draw(rt, "steps") {
					changed.step(rt, &tx)
					changed.compare(rt, &tx)
				}
				if err := tx.Seal(); err != nil || !undo {
					return err
				}
				return errUndo
			})
			switch {
			case undo && errors.Is(err, errUndo):
			case !undo && err == nil:
				j.Apply(&tx)
				m = changed
			default:
				rt.Fatal(err)
			}
			again, err := read(db, j.Bounds())
			if err != nil || !reflect.DeepEqual(again, j) {
				rt.Fatalf("the file has %+v, error %v; known is %+v", again, err, j)
			}
			if len(j.Keys()) != len(m.journal) {
				rt.Fatalf("the journal has %d records, not %d", len(j.Keys()), len(m.journal))
			}
		}
	})
}

// step does something to the journal and to the model.
func (m model) step(rt *rapid.T, tx *Tx) {
	flush := func(v Version) error {
		for i := range modelKeys {
			if k := key(i); strings.HasPrefix(string(v.Value), string(k[:])) {
				if want, ok := m.journal[i]; !ok || string(v.Value[len(k):]) != want {
					rt.Fatalf("%d is flushed as %q, and should be %q, %v", i, v.Value[len(k):], want, ok)
				}
				m.place[i] = m.journal[i]
				delete(m.journal, i)
			}
		}
		return nil
	}
	var err error
	switch rapid.IntRange(0, 9).Draw(rt, "kind") {
	case 0:
		limits := Limits{Versions: rapid.IntRange(1, 20).Draw(rt, "versions"), Bytes: rapid.IntRange(100, 40_000).Draw(rt, "bytes")}
		err = tx.Trim(limits, rapid.Bool().Draw(rt, "necessary"), flush)
	case 1:
		_, err = tx.Flush(tx.Bounds().Next+1, rapid.IntRange(0, 20).Draw(rt, "versions"), flush)
	case 2:
		err = tx.Seal()
	default:
		i := rapid.IntRange(0, modelKeys-1).Draw(rt, "key")
		value := strings.Repeat("v", rapid.SampledFrom([]int{0, 1, 50, 600, 5000, 9000}).Draw(rt, "length"))
		m.journal[i] = value
		err = put(tx, i, value)
	}
	if err != nil {
		rt.Fatal(err)
	}
}

// compare compares what the transaction has with the model.
func (m model) compare(rt *rapid.T, tx *Tx) {
	for i := range modelKeys {
		want, wantOK := m.journal[i]
		v, ok, err := tx.Get(key(i))
		if err != nil || ok != wantOK || ok && string(v.Value[len(key(i)):]) != want || tx.Has(key(i)) != wantOK {
			rt.Fatalf("%d is %q, %v, error %v; want %q, %v", i, v.Value, ok, err, want, wantOK)
		}
	}
}
