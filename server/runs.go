package server

import (
	"sync"

	"github.com/warren-rpc/warren/store"
)

// runs are the calls that goroutines of this process have.
type runs struct {
	mu    sync.Mutex
	calls map[store.Key]*run
	// doubts are calls of which a claim has failed and may have been made, with the
	// token that the record had before.
	doubts map[store.Key]uint64
}

// run is one call that a goroutine has.
type run struct {
	fingerprint store.Fingerprint
	done        chan struct{} // closed when it has it no more
	payload     []byte        // what it ended with, recorded; set before done is closed
}

func newRuns() runs {
	return runs{calls: make(map[store.Key]*run), doubts: make(map[store.Key]uint64)}
}

// enter makes the caller the owner of the call, or returns the run of its owner.
func (rs *runs) enter(id *identity) (r *run, mine bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r, ok := rs.calls[id.key]; ok {
		return r, false
	}
	r = &run{fingerprint: id.fingerprint, done: make(chan struct{})}
	rs.calls[id.key] = r
	return r, true
}

func (rs *runs) leave(key store.Key, r *run) {
	rs.mu.Lock()
	delete(rs.calls, key)
	rs.mu.Unlock()
	close(r.done)
}

// mostDoubts bounds the doubts that are remembered. A claim beyond them, if it was
// made, ends with its lease, or with the store.
const mostDoubts = 10_000

// doubt notes that a claim after that token may have been made.
func (rs *runs) doubt(key store.Key, token uint64) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.doubts) < mostDoubts {
		rs.doubts[key] = token
	}
}

// doubted reports whether the record is in progress by a claim of this process of
// which nobody knows, and forgets the doubt: the record has been seen.
func (rs *runs) doubted(rec *store.Record, owner string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	before, ok := rs.doubts[rec.Key]
	if !ok {
		return false
	}
	delete(rs.doubts, rec.Key)
	return rec.State == store.InProgress && rec.Owner == owner && rec.Token > before
}
