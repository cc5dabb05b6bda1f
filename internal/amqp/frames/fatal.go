package frames

import (
	"sync"
	"sync/atomic"
)

// Fatal are the messages that have ended connections, of all connections that share it. The zero value is ready. It is
// safe for concurrent use.
type Fatal struct {
	proven atomic.Int32 // how many have ended enough of them

	mu   sync.Mutex
	ends map[uint64]int
}

const (
	// enough ends of a connection are no accident: a write may fail while a header is being read.
	enough = 2
	// mostFatal bounds the memory. When there are more all are forgotten, and may prove it again.
	mostFatal = 1024
)

// Ended notes that a connection has ended on d, and reports whether the message is kept from those that follow.
func (f *Fatal) Ended(d *Unread) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.ends[d.id]; f.ends == nil || !known && len(f.ends) >= mostFatal {
		f.ends = map[uint64]int{}
		f.proven.Store(0)
	}
	f.ends[d.id]++
	if f.ends[d.id] == enough {
		f.proven.Add(1)
	}
	return f.ends[d.id] >= enough
}

func (f *Fatal) has(id uint64) bool {
	if f == nil || f.proven.Load() == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ends[id] >= enough
}
