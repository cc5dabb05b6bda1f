package server

import (
	"sync"

	"github.com/warren-rpc/warren/store"
)

// inFlight are the calls that goroutines of this process have.
type inFlight struct {
	mu    sync.Mutex
	calls map[store.Key]*flight
	// doubts are calls of which a claim has failed and may have been made, with the
	// token that the record had before.
	doubts map[store.Key]uint64
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

// doubt notes that a claim after that token may have been made.
func (f *inFlight) doubt(key store.Key, token uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.doubts) < mostDoubts {
		f.doubts[key] = token
	}
}

// doubted reports whether the record is in progress by a claim of this process of
// which nobody knows, and forgets the doubt: the record has been seen.
func (f *inFlight) doubted(rec *store.Record, owner string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, ok := f.doubts[rec.Key]
	delete(f.doubts, rec.Key)
	return ok && rec.State == store.InProgress && rec.Owner == owner && rec.Token > before
}
