package boltstore

import (
	"fmt"
	"path/filepath"
)

// owed is the end of a call that the disk had no room for. Small changes find room for
// longer than large ones: calls would go on to be begun whose ends cannot be recorded.
type owed struct {
	bytes int   // what it holds
	cause error // that of the system
}

// overhead is what a commit needs beside what it holds: pages of the trees, the free
// list.
const overhead = 64 << 10

// unrecorded notes that the disk had no room for a commit.
func (s *Store) unrecorded(ops []*op, cause error) {
	for _, o := range ops {
		if o.ends && (s.owed == nil || o.weight > s.owed.bytes) {
			s.owed = &owed{o.weight, cause}
		}
	}
}

// recorded notes that there was room for a commit.
func (s *Store) recorded(ops []*op) {
	for _, o := range ops {
		if o.ends && s.owed != nil && o.weight >= s.owed.bytes {
			s.owed = nil
		}
	}
}

// room returns nil if, as far as is known, the end of a call that is begun can be
// recorded.
func (s *Store) room() error {
	if s.owed == nil {
		return nil
	}
	free, known := freeOn(filepath.Dir(s.path))
	if !known || free >= int64(s.owed.bytes+overhead) {
		s.owed = nil
		return nil
	}
	return fmt.Errorf("the disk has %d bytes left, and calls that have run wait to be recorded: %w", free, s.owed.cause)
}
