package journal

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/store"
)

const modelKeys = 8

// Whatever is committed to a journal, each commit sees what was done before, what is known in
// memory is what the file has, and what was not committed, or was flushed, is not there: also
// where the write of an entry is cut off, and a shorter one takes its place.
func TestJournalIsAsItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f := make(file, rapid.IntRange(0, 60).Draw(rt, "area")<<10)
		generation := rapid.Uint64Range(0, 2).Draw(rt, "generation")
		j, there, head := f.read(rt, generation), map[int]string{}, ""
		var tx Tx
		for n := range rapid.IntRange(1, 20).Draw(rt, "commits") {
			changed, failed := maps.Clone(there), error(nil)
			tx.Begin(j, 50)
			for range rapid.IntRange(0, 10).Draw(rt, "steps") {
				i := rapid.IntRange(0, modelKeys-1).Draw(rt, "key")
				value := strings.Repeat("v", rapid.SampledFrom([]int{0, 1, 50, 600, 5000}).Draw(rt, "length"))
				if failed = put(&tx, i, value); failed != nil {
					break
				}
				changed[i] = value
				compare(rt, tx.Get, changed)
			}
			end := rapid.IntRange(0, 5).Draw(rt, "end")
			switch {
			case failed != nil && !errors.Is(failed, ErrFull):
				rt.Fatalf("Put: %v", failed)
			case failed != nil || end == 0:
				generation++
				j.Reset(numbered(generation))
				there, head = map[int]string{}, ""
			case end == 1: // it is not committed
			case end == 2:
				entry, offset, err := tx.Seal([]byte("cut off"))
				if err == nil {
					copy(f[offset:], entry[:rapid.IntRange(0, len(entry)-1).Draw(rt, "written")])
				}
			default:
				entry, offset, err := tx.Seal([]byte(fmt.Sprint(n)))
				if err == nil {
					copy(f[offset:], entry)
					j.Apply(&tx)
					there, head = changed, fmt.Sprint(n)
				}
			}
			compare(rt, j.Get, there)
			again := f.read(rt, generation)
			if !reflect.DeepEqual(again.latest, j.latest) || again.tail != j.tail || again.versions != j.versions || string(again.Head()) != head {
				rt.Fatalf("the file has %+v; known is %+v", again, j)
			}
		}
	})
}

// compare compares all records with what they should be.
func compare(rt *rapid.T, get func(store.Key) ([]byte, bool), want map[int]string) {
	for i := range modelKeys {
		w, wantOK := want[i]
		v, ok := get(key(i))
		if ok != wantOK || ok && string(v[len(key(i)):]) != w {
			rt.Fatalf("%d is %q, %v; want %q, %v", i, v, ok, w, wantOK)
		}
	}
}
