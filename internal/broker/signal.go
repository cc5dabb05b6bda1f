package broker

import "sync"

// Signal is a condition that others can wait for: raised or lowered, with the
// reason why it is lowered.
type Signal struct {
	mu      sync.Mutex
	raised  bool
	err     error
	changed chan struct{} // closed and renewed at each change
}

func newSignal() *Signal { return &Signal{changed: make(chan struct{})} }

// Get returns whether the signal is raised, a channel that is closed at the
// next change, and the last failure if it is not raised.
func (s *Signal) Get() (raised bool, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raised, s.changed, s.err
}

func (s *Signal) raise()         { s.set(true, nil) }
func (s *Signal) lower()         { s.set(false, nil) }
func (s *Signal) fail(err error) { s.set(false, err) }

func (s *Signal) set(raised bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raised, s.err = raised, err
	close(s.changed)
	s.changed = make(chan struct{})
}
