package boltstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// unrecorded is the end of a call that the disk had no room for. Small changes find room for
// longer than large ones: calls would go on to be begun whose ends cannot be recorded.
type unrecorded struct {
	bytes int       // what it holds
	cause error     // that of the system
	since time.Time // the last time that it, or another one, found no room
	had   int64     // what the disk had left then, by what it said, which may not count quotas
}

const (
	// overhead is what a commit needs beside what it holds: pages of the trees, the free
	// list.
	overhead = 64 << 10
	// tightFor is how long an end is waited for that nobody tries to record again, and how
	// long the disk is taken for full. Who has not given up an end tries more often.
	tightFor = 10 * time.Second
	// tightPortion is for how many records a commit has room on a disk that is taken for full.
	tightPortion = 16
)

// noRoom reports whether a commit has failed since the file could not grow. Of some
// errors of the system bbolt passes on the text alone.
func noRoom(err error) bool {
	for _, no := range [...]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, no) || err != nil && strings.HasSuffix(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}

// isTight reports whether the disk had no room for a commit lately.
func (s *Store) isTight() bool { return time.Since(s.tight) < tightFor }

// noteUnrecorded notes that the disk had no room for a commit.
func (s *Store) noteUnrecorded(ops []*op, cause error) {
	for _, o := range ops {
		if !o.ends || o.own != nil {
			continue
		}
		if s.unrecorded == nil || o.weight > s.unrecorded.bytes {
			s.unrecorded = &unrecorded{bytes: o.weight}
		}
		s.unrecorded.cause, s.unrecorded.since = cause, time.Now()
		s.unrecorded.had, _ = freeOn(filepath.Dir(s.path))
	}
}

// noteRecorded notes that there was room for a commit.
func (s *Store) noteRecorded(ops []*op) {
	for _, o := range ops {
		if o.ends && o.own == nil && s.unrecorded != nil && o.weight >= s.unrecorded.bytes {
			s.unrecorded = nil
		}
	}
}

// room returns nil if, as far as is known, the end of a call that is begun can be
// recorded.
func (s *Store) room() error {
	if s.unrecorded == nil {
		return nil
	}
	free, known := freeOn(filepath.Dir(s.path))
	if known && free-s.unrecorded.had >= int64(s.unrecorded.bytes+overhead) || time.Since(s.unrecorded.since) > tightFor {
		s.unrecorded = nil
		return nil
	}
	return fmt.Errorf("the disk has %d bytes left, and calls that have run wait to be recorded: %w", free, s.unrecorded.cause)
}
