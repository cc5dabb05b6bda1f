package journal

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzRead reads areas of any content: it ends, says what is damaged, and what it takes for
// whole is exactly what would have been written.
func FuzzRead(f *testing.F) {
	sample := make(file, 16<<10)
	j, _ := Read(bytes.Clone(sample), numbered(3), format, stop)
	var tx Tx
	for i := range 4 {
		tx.Begin(j, 100)
		_ = put(&tx, i, "value")
		_ = put(&tx, i+1, "")
		entry, offset, _ := tx.Seal([]byte("head"))
		copy(sample[offset:], entry)
		j.Apply(&tx)
	}
	f.Add([]byte{}, uint64(3), false)
	f.Add([]byte(sample), uint64(3), false)
	f.Add([]byte(sample), uint64(3), true)
	f.Add([]byte(sample[:150]), uint64(3), true)
	f.Add([]byte(sample), uint64(4), false)
	f.Fuzz(func(t *testing.T, content []byte, number uint64, sealed bool) {
		generation := numbered(number)
		area := bytes.Clone(content)
		if sealed { // so that checksums are no obstacle
			reseal(area, generation)
		}
		findings := 0
		j, err := Read(bytes.Clone(area), generation, format, func(err error) error {
			if findings++; !damaged(err) {
				t.Errorf("a finding is %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		if _, err := Read(bytes.Clone(area), generation, format, stop); (err != nil) != (findings > 0) || err != nil && !damaged(err) {
			t.Fatalf("Read: %v, and %d findings", err, findings)
		}
		if findings == 0 {
			writtenAgain(t, area, j)
		}
	})
}

// reseal sets the checksums of what could be entries.
func reseal(area []byte, generation Generation) {
	for at := 0; at+entryHeader <= len(area); {
		rest := area[at:]
		length := int(binary.BigEndian.Uint32(rest[4:]))
		if decodeGeneration(rest[8:]) != generation || length < entryHeader || length > len(rest) {
			return
		}
		binary.BigEndian.PutUint32(rest, sum(at, rest[:length]))
		at = aligned(at + length)
	}
}

// writtenAgain writes the entries of a journal once more and compares them.
func writtenAgain(t *testing.T, area []byte, j *Journal) {
	t.Helper()
	again, err := Read(make([]byte, len(area)+2*headRoom), j.generation, format, stop)
	if err != nil {
		t.Fatal(err)
	}
	var tx Tx
	for at := 0; at < j.tail; at = again.tail {
		e, ok := parse(area, at, j.generation)
		if !ok || len(e.head) > headRoom {
			return // as long heads are never written
		}
		tx.Begin(again, 1<<30)
		err := e.each(func(p position) error {
			value := area[p.offset : p.offset+p.length]
			k, err := format.Key(value)
			if err == nil {
				_, err = tx.Put(k, len(value), func(b []byte) []byte { return append(b, value...) })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		entry, offset, err := tx.Seal(e.head)
		if err != nil || offset != at || !bytes.Equal(entry, e.bytes) {
			t.Fatalf("the entry at %d is written as %x at %d, error %v; it was %x", at, entry, offset, err, e.bytes)
		}
		again.Apply(&tx)
	}
}
