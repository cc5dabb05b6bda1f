package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// file is an area as it is in the file.
type file []byte

// read reads the journal of a generation that the file has.
func (f file) read(t failer, generation uint64) *Journal {
	t.Helper()
	j, err := Read(bytes.Clone(f), numbered(generation), format, stop)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return j
}

// commit writes what the transaction has to the file and applies it.
func (f file) commit(t failer, tx *Tx, head string) {
	t.Helper()
	entry, offset, err := tx.Seal([]byte(head))
	if err != nil {
		t.Fatalf("Seal: %v", err)
	}
	copy(f[offset:], entry)
	tx.journal.Apply(tx)
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// numbered returns the generation of these tests that has a number.
func numbered(n uint64) Generation { return Generation{Number: n, Secret: [8]byte{0xA5, byte(n)}} }

func stop(err error) error { return err }

func put(tx *Tx, i int, value string) error {
	k := key(i)
	_, err := tx.Put(k, len(k)+len(value), func(b []byte) []byte { return append(append(b, k[:]...), value...) })
	return err
}

func damaged(err error) bool { return errors.As(err, new(*integrity.DamageError)) }
