package boltstore

import (
	"errors"
	"log/slog"
	"math"
	"time"
)

// Options are those of [Open]. The zero value is ready to use.
type Options struct {
	// SizeLimit is how many bytes of the file may be in use. New records are
	// refused from 80 % of it on. Default 1 GiB, which is some 3 million records
	// with replies of 100 bytes; at least 1 MiB. It bounds the records, not the
	// buckets of the application, which count towards it.
	SizeLimit int64
	// Tombstones is how many tombstones there may be before no more are written of
	// calls that never came. Default: as many as have room in a sixteenth of SizeLimit,
	// at about 512 bytes each; negative: none is written.
	Tombstones int
	// MaxPayload is how many bytes of a payload are kept; of a larger one only the
	// size and the digest are. Default 1 MiB, at most 64 MiB; negative keeps none.
	MaxPayload int
	// SweepEvery is how often the store sweeps by itself. Default 1 min; negative:
	// never.
	SweepEvery time.Duration
	// SweepBatch is how many records one commit of a sweep looks at, at most: more
	// of them sweep quicker, and have other changes wait longer. Default 256.
	SweepBatch int
	// Now is the clock of retentions. Default time.Now. It is called by several
	// goroutines.
	Now func() time.Time
	// Logger is told of what nobody is told otherwise: sweeps that failed, damage.
	// Default: nobody.
	Logger *slog.Logger
	// OnCommit is told of each commit, after those who wait for it, on the goroutine
	// that made it, which may be that of one of the callers. No lock is held that a
	// Get or Stats needs, but the next commit waits for it: it must not call a method
	// that changes the store.
	OnCommit func(Commit)

	// NoJournal has each change written to its place at once: the file has no room for a
	// journal then. The setting may change from one opening of a file to the next; the
	// opening that changes it, or SizeLimit to or from less than 64 MiB, first flushes the
	// journal that it finds, in one transaction of at most some megabytes, and fails if the
	// disk has no room for that.
	NoJournal bool

	journalVersions int // how many the journal holds, at most
}

// Commit says how one group of changes was written.
type Commit struct {
	// Operations is how many calls it answered, those that changed nothing too.
	Operations int
	// Waiting is how many were in the queue for the next one when it began.
	Waiting int
	// Took is from its beginning to its end, the application's functions included.
	Took time.Duration
	// Size is how many bytes of the file are in use, as in store.Stats.
	Size int64
	// Err is nil if it was committed, or if there was nothing to commit.
	Err error
}

const (
	minSizeLimit  = 1 << 20
	tombstoneSize = 512 // with its part of the trees
	maxPayload    = 64 << 20
	maxOps        = 1024     // operations of one commit
	maxWeight     = 32 << 20 // bytes of payload of one commit, unless one operation has more
	maxWidth      = 256      // application functions of one commit

	// The journal is bounded so that it is read in some milliseconds.
	defaultJournalVersions = 8192
	maxJournalBytes        = 4 << 20
	// largeRecord is the length of the strings and the payload of a record from which it
	// is not written to the journal: to write it twice would cost more than the pages
	// that are spared.
	largeRecord = 16 << 10
)

// complete returns o with its defaults, or what is wrong with it.
func (o Options) complete() (Options, error) {
	if o.SizeLimit == 0 {
		o.SizeLimit = 1 << 30
	}
	if o.Tombstones == 0 {
		o.Tombstones = int(o.SizeLimit / 16 / tombstoneSize)
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = 1 << 20
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = time.Minute
	}
	if o.SweepBatch == 0 {
		o.SweepBatch = 256
	}
	if o.journalVersions == 0 {
		o.journalVersions = defaultJournalVersions
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.SizeLimit < minSizeLimit || o.SizeLimit > math.MaxInt64/100:
		return o, errors.New("boltstore: SizeLimit must be at least 1 MiB")
	case o.MaxPayload > maxPayload:
		return o, errors.New("boltstore: MaxPayload must be at most 64 MiB")
	case o.SweepBatch < 1:
		return o, errors.New("boltstore: SweepBatch must be at least 1")
	}
	return o, nil
}

// kept is how many bytes of a payload are written.
func (o Options) kept(payload []byte) int {
	if len(payload) > o.MaxPayload {
		return 0
	}
	return len(payload)
}

// full reports whether new records are refused with that many bytes in use.
func (o Options) full(used int64) bool { return used >= o.SizeLimit/100*80 }

// journalSize is how many bytes the journal's area has: it is a small part of what the file
// may be.
func (o Options) journalSize() int {
	if o.NoJournal {
		return 0
	}
	return int(min(maxJournalBytes, o.SizeLimit/16, int64(o.journalVersions)*largeRecord))
}

// retryAfter is when a sweep may have made room.
func (o Options) retryAfter() time.Duration {
	if o.SweepEvery > 0 {
		return o.SweepEvery
	}
	return time.Minute
}
