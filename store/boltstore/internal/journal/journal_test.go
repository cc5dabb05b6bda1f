package journal

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/store"
)

// filled returns a file whose journal has three entries and several versions of some records.
func filled(t *testing.T) (file, *Journal) {
	t.Helper()
	f := make(file, 32<<10)
	j := f.read(t, 7)
	var tx Tx
	for round := range 3 {
		tx.Begin(j, 100)
		for i := range 10 {
			if err := put(&tx, i+round, strings.Repeat("v", 100*(round+1))); err != nil {
				t.Fatal(err)
			}
		}
		f.commit(t, &tx, "head")
	}
	if j.Versions() != 30 || len(j.Keys()) != 12 || string(j.Head()) != "head" {
		t.Fatalf("the journal has %d versions of %d records, and the head %q", j.Versions(), len(j.Keys()), j.Head())
	}
	return f, j
}

// What is read is what was written.
func TestReadHasWhatWasCommitted(t *testing.T) {
	t.Parallel()
	f, j := filled(t)
	again := f.read(t, 7)
	if !reflect.DeepEqual(again.latest, j.latest) || again.tail != j.tail || again.versions != j.versions || string(again.Head()) != "head" {
		t.Errorf("it has %d versions of %d records up to %d, and the head %q", again.Versions(), len(again.Keys()), again.tail, again.Head())
	}
	if entry, offset := again.Last(); !bytes.Equal(entry, f[offset:offset+len(entry)]) || offset == 0 {
		t.Errorf("the last entry has %d bytes at %d", len(entry), offset)
	}
	if v, ok := again.Get(key(2)); !ok || len(v) != len(store.Key{})+300 {
		t.Errorf("the latest version has %d bytes, %v", len(v), ok)
	}
	if other := f.read(t, 8); other.Versions() != 0 || other.Head() != nil {
		t.Errorf("the next generation has %d versions", other.Versions())
	}
	// The file has gone back to what it was before, and does not know of the journal.
	if _, err := Read(f, numbered(6), format, stop); !damaged(err) {
		t.Errorf("Read of the generation before: %v", err)
	}
}

// Whatever byte is changed of what comes before the last entry is found when the journal is read. If it
// is of the last entry, that is taken for one that was not written to its end.
func TestReadFindsDamage(t *testing.T) {
	t.Parallel()
	f, j := filled(t)
	last := j.last.offset
	first, _ := parse(f, 0, numbered(7))
	second, _ := next(f, 0, numbered(7))
	for at := range last + len(j.last.bytes) {
		if at >= len(first.bytes) && at < second.offset || at >= second.offset+len(second.bytes) && at < last {
			continue // it belongs to no entry
		}
		changed := bytes.Clone(f)
		changed[at] ^= 0x10
		read, err := Read(changed, numbered(7), format, stop)
		if at < last && !damaged(err) {
			t.Errorf("byte %d: Read: %v", at, err)
		}
		if at >= last && (err != nil || read.Versions() != 20 && read.Versions() != 30) {
			t.Errorf("byte %d: Read has %d versions, error %v", at, read.Versions(), err)
		}
		findings := 0
		if _, err := Read(bytes.Clone(changed), numbered(7), format, func(error) error { findings++; return nil }); err != nil || findings == 0 && at < last {
			t.Errorf("byte %d: %d findings, error %v", at, findings, err)
		}
	}
	cut := bytes.Clone(f)
	clear(cut[last+100:])
	if read, err := Read(cut, numbered(7), format, stop); err != nil || read.Versions() != 20 || read.tail != last {
		t.Errorf("with a last entry that was cut off it has %d versions, error %v", read.Versions(), err)
	}
	elsewhere := make(file, len(f)) // the second entry in the first one's place
	copy(elsewhere, second.bytes)
	if read, err := Read(elsewhere, numbered(7), format, stop); err != nil || read.Versions() != 0 {
		t.Errorf("in another's place an entry is taken for %d versions, error %v", read.Versions(), err)
	}
}

// A record whose last version is damaged is not taken for what it was before.
func TestVersionBeforeADamagedOneIsNotTheLatest(t *testing.T) {
	t.Parallel()
	f := make(file, 8<<10)
	j := f.read(t, 0)
	var tx Tx
	tx.Begin(j, 100)
	if err := errors.Join(put(&tx, 1, "good"), put(&tx, 2, "good"), put(&tx, 1, "!")); err != nil {
		t.Fatal(err)
	}
	f.commit(t, &tx, "")
	findings := 0
	j, err := Read(f, numbered(0), format, func(error) error { findings++; return nil })
	if err != nil || findings != 1 || !reflect.DeepEqual(j.Keys(), []store.Key{key(2)}) {
		t.Errorf("%d findings, error %v; the records are %v", findings, err, j.Keys())
	}
}

// A journal takes no more than its area has room for, and than its limit of versions.
func TestFullJournalTakesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ area, limit, length, want int }{
		"versions": {area: 1 << 20, limit: 25, length: 10, want: 25},
		"bytes":    {area: 80 << 10, limit: 1000, length: 100, want: 20},
		"no area":  {area: 0, limit: 1000, length: 0, want: 0},
	} {
		f := make(file, c.area)
		j := f.read(t, 1)
		var tx Tx
		n, err := 0, error(nil)
		for ; err == nil; n++ {
			tx.Begin(j, c.limit)
			if err = put(&tx, n, strings.Repeat("v", c.length)); err == nil {
				f.commit(t, &tx, strings.Repeat("h", 30))
			}
		}
		if n--; !errors.Is(err, ErrFull) || n > c.want || n < c.want*2/3 {
			t.Errorf("%s: it takes %d versions, error %v; want at most %d", name, n, err, c.want)
		}
		if again := f.read(t, 1); again.Versions() != n {
			t.Errorf("%s: it has %d versions, and has taken %d", name, again.Versions(), n)
		}
	}
}

// A value that is longer than was said is not written beyond its room.
func TestValueThatIsLongerThanItsSizeIsNotTaken(t *testing.T) {
	t.Parallel()
	f := make(file, 8<<10)
	j := f.read(t, 1)
	var tx Tx
	tx.Begin(j, 10)
	_, err := tx.Put(key(1), 10, func(b []byte) []byte { return append(b, make([]byte, 11)...) })
	if !errors.Is(err, ErrFull) {
		t.Errorf("Put: %v", err)
	}
}
