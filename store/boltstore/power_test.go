package boltstore

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// sector is what a disk writes at a time. It may leave a block of 4 KiB damaged in which it
// was writing.
const sector = 512

// A machine that loses its power has any of the sectors on its disk that were written since
// the last sync, and some that are damaged. Whatever these are, the store opens, and has all
// that was acknowledged; what was under way is there wholly or not at all.
func TestPowerMayFailBetweenAnySectors(t *testing.T) {
	t.Parallel()
	for range 3 {
		seed := rand.Uint64()
		w := &powerWorld{t: t, path: newPath(t), rng: rand.New(rand.NewPCG(seed, 0)), want: map[store.Key]store.State{}}
		w.s = open(t, w.path, powerOptions)
		w.image = w.read(w.path)
		for step := range 40 {
			w.step(step)
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

// powerOptions have a journal of few commits, so that it is flushed now and then.
var powerOptions = Options{SweepEvery: -1, SizeLimit: 1 << 20}

// large is a reply of many sectors.
var large = store.Result{State: store.Completed, Payload: bytes.Repeat([]byte("the reply "), 500)}

type powerWorld struct {
	t     *testing.T
	path  string
	rng   *rand.Rand
	s     *Store
	image []byte // of the file, when all was acknowledged
	open  []store.Record
	want  map[store.Key]store.State // of what was acknowledged, for who opens the file
}

// step changes one record, looks at images of the power's failure meanwhile, and may go on
// with one of them.
func (w *powerWorld) step(n int) {
	w.t.Helper()
	var key store.Key
	before, after := store.Absent, store.Interrupted
	switch kind := w.rng.IntN(8); {
	case kind < 4 || len(w.open) == 0:
		r := must(w.t, w.s, numbered(n))
		key, w.open = r.Key, append(w.open, r)
	case kind < 7:
		r := w.take()
		if err := w.s.Complete(w.t.Context(), r.Key, r.Token, large, time.Hour); err != nil {
			w.t.Fatal(err)
		}
		key, before, after = r.Key, store.Interrupted, store.Completed
	default: // not by the journal
		r := w.take()
		err := w.s.Transact(w.t.Context(), r.Key, r.Token, time.Hour, func(*bbolt.Tx) (store.Result, error) { return large, nil })
		if err != nil {
			w.t.Fatal(err)
		}
		key, before, after = r.Key, store.Interrupted, store.Completed
	}
	from, to, area := w.image, w.read(w.path), w.s.area
	w.image, w.want[key] = to, after
	for i := range 3 {
		crashed := newPath(w.t)
		if err := os.WriteFile(crashed, w.crash(from, to, area), 0o600); err != nil {
			w.t.Fatal(err)
		}
		s, err := Open(crashed, powerOptions)
		if err != nil {
			w.t.Errorf("a file is refused whose power failed: %v", err)
			return
		}
		got := w.stateOf(s, key)
		if got != before && got != after {
			w.t.Errorf("what was under way is %v; want %v or %v", got, before, after)
		}
		for other, want := range w.want {
			if state := w.stateOf(s, other); other != key && state != want {
				w.t.Errorf("a call is %v; acknowledged was %v", state, want)
			}
		}
		if i == 0 && w.rng.IntN(4) == 0 {
			shut(w.t, w.s)
			w.t.Cleanup(func() { shut(w.t, s) })
			w.path, w.s, w.open = crashed, s, nil // what was begun is interrupted
			w.image, w.want[key] = w.read(crashed), got
			return
		}
		shut(w.t, s)
	}
}

// stateOf is the state of a record, which has its whole reply if it is completed.
func (w *powerWorld) stateOf(s *Store, key store.Key) store.State {
	w.t.Helper()
	r, err := s.Get(w.t.Context(), key)
	if err != nil {
		w.t.Errorf("Get: %v", err)
	}
	if r.State == store.Completed && !bytes.Equal(r.Payload, large.Payload) {
		w.t.Error("a reply is not as it was")
	}
	return r.State
}

func (w *powerWorld) take() store.Record {
	i := w.rng.IntN(len(w.open))
	r := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	return r
}

func (w *powerWorld) read(path string) []byte {
	content, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	return content
}

// crash returns what may be on the disk of a change from one image to another. bbolt syncs
// its pages, then a meta page, and what is appended to the journal's area comes after: one
// of the three parts is on the disk in any sectors, those before wholly, and those after not
// at all.
func (w *powerWorld) crash(from, to []byte, area int64) []byte {
	disk := make([]byte, len(to))
	copy(disk, from)
	meta := int64(2 * os.Getpagesize())
	end := area + int64(w.s.journal.Size())
	part := func(at int64) int {
		switch {
		case at < meta:
			return 1
		case at >= area && at < end:
			return 2
		}
		return 0
	}
	if bytes.Equal(from[:meta], to[:meta]) {
		meta = 0 // the journal alone
	}
	now, chance := w.rng.IntN(3), w.rng.Float64()
	for at := int64(0); at < int64(len(to)); at += journalBlock {
		block, written := disk[at:min(at+journalBlock, int64(len(to)))], to[at:]
		switch p := part(at); {
		case p > now || bytes.Equal(block, written[:len(block)]):
		case p < now:
			copy(block, written)
		case w.rng.IntN(8) == 0:
			for i := range block {
				block[i] = byte(w.rng.Uint32())
			}
		default:
			for in := 0; in < len(block); in += sector {
				if w.rng.Float64() < chance {
					copy(block[in:in+sector], written[in:])
				}
			}
		}
	}
	return disk
}
