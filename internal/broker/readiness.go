package broker

import "sync"

// Readiness says whether something can be used, and if not, why. Others can wait for
// it to change.
type Readiness struct {
	mu      sync.Mutex
	ready   bool
	err     error
	changed chan struct{} // closed and renewed at each change
}

func newReadiness() *Readiness { return &Readiness{changed: make(chan struct{})} }

// Get returns whether it is ready, a channel that is closed at the next change, and the
// last failure if it is not ready.
func (r *Readiness) Get() (ready bool, changed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready, r.changed, r.err
}

func (r *Readiness) set() { r.change(true, nil) }

// unset takes it back; err is why, nil if nothing has failed.
func (r *Readiness) unset(err error) { r.change(false, err) }

func (r *Readiness) change(ready bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.err = ready, err
	close(r.changed)
	r.changed = make(chan struct{})
}
