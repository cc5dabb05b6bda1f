package server

import (
	"maps"
	"slices"
	"sync"

	"github.com/warren-rpc/warren/store"
)

// inFlight are the calls that goroutines of this process have.
type inFlight struct {
	mu    sync.Mutex
	calls map[store.Key]*flight
	// doubts are calls of which a claim has failed and may have been made, with the
	// token that the record had before.
	doubts   map[store.Key]uint64
	settling bool // a goroutine looks at the doubts until there are none
}

// flight is one call that a goroutine has.
type flight struct {
	fingerprint store.Fingerprint
	done        chan struct{} // closed when it has it no more
	payload     []byte        // what it ended with, recorded; set before done is closed
}

func newInFlight() inFlight {
	return inFlight{calls: make(map[store.Key]*flight), doubts: make(map[store.Key]uint64)}
}

// enter makes the caller the owner of the call, or returns the flight of its owner.
func (f *inFlight) enter(id *identity) (call *flight, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if call, ok := f.calls[id.key]; ok {
		return call, false
	}
	call = &flight{fingerprint: id.fingerprint, done: make(chan struct{})}
	f.calls[id.key] = call
	return call, true
}

func (f *inFlight) exit(key store.Key, call *flight) {
	f.mu.Lock()
	delete(f.calls, key)
	f.mu.Unlock()
	close(call.done)
}

// mostDoubts bounds the doubts that are remembered. A claim beyond them, if it was
// made, ends with its lease, or with the store.
const mostDoubts = 10_000

// doubt notes that a claim after that token may have been made. If first is true
// nobody settles doubts, and the caller has somebody do so.
func (f *inFlight) doubt(key store.Key, token uint64) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.doubts) < mostDoubts {
		f.doubts[key] = token
	}
	first, f.settling = !f.settling, true
	return first
}

// claimed notes that a claim has been made: one that failed before is none any more.
func (f *inFlight) claimed(key store.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.doubts, key)
}

// doubted reports whether the record has a claim of this process of which nobody
// knows, and forgets the doubt: the record has been seen. The caller has the call, so
// that no attempt of it is under way here.
func (f *inFlight) doubted(rec *store.Record, owner string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, ok := f.doubts[rec.Key]
	delete(f.doubts, rec.Key)
	claimed := rec.State == store.InProgress || rec.State == store.Interrupted // its lease may have run out
	return ok && claimed && rec.Owner == owner && rec.Token > before
}

// inDoubt returns the keys of the calls that are in doubt. If there are none, whoever
// settles doubts is done.
func (f *inFlight) inDoubt() []store.Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settling = len(f.doubts) > 0
	return slices.Collect(maps.Keys(f.doubts))
}
