package pgstore

import (
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say how a store works. The zero value is ready.
type Options struct {
	// Schema is the database's schema that has the store's tables, which [Migrate] makes. Default "warren".
	Schema string
	// MaxPayload is the largest payload that is kept, in bytes; of a larger one there are the size and the digest.
	// Default 1 MiB; below 0: none is kept.
	MaxPayload int
	// Tombstones is how many tombstones there may be before no more are written of calls that never came. Default
	// 100,000; below 0: none is written.
	Tombstones int
	// SweepEvery is how often the store sweeps by itself. Default 1 min; below 0: never.
	SweepEvery time.Duration
	// Timeout is how long a transaction of the store's own may take, and the wait for its connection or its turn, before
	// it counts as failed. Default 10 s.
	Timeout time.Duration
	// TxOptions are how the transactions of Transact begin. At a level above read committed they collide with the
	// renewal of their call's lease, and run again: they must be quicker than a third of the lease. Default: read
	// committed.
	TxOptions pgx.TxOptions
	// TxIdle ends a transaction of Transact whose function has done nothing with it for so long, as the row locks of
	// a server that hangs are in the way of others. Default 1 min; below 0: never.
	TxIdle time.Duration
	// NoSession has the store hold no session of its own, which a pooler in transaction mode cannot give. Then its
	// end is known to others by its leases alone.
	NoSession bool
	// Now is the clock, for tests: a lease, or a retention, ends by it. Default: the database's. It is called
	// concurrently.
	Now func() time.Time
	// Logger hears what nobody is answered. Default: slog.Default().
	Logger *slog.Logger
}

func (o Options) complete() Options {
	if o.Schema == "" {
		o.Schema = defaultSchema
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = 1 << 20
	}
	if o.Tombstones == 0 {
		o.Tombstones = 100_000
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = time.Minute
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.TxOptions.IsoLevel == "" {
		o.TxOptions.IsoLevel = pgx.ReadCommitted
	}
	if o.TxIdle == 0 {
		o.TxIdle = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// now is what the database is told to take for the time: nil for its own clock.
func (o *Options) now() *time.Time {
	if o.Now == nil {
		return nil
	}
	t := o.Now()
	return &t
}

// retryAfter is when a sweep may have made room.
func (o *Options) retryAfter() time.Duration {
	if o.SweepEvery < 0 {
		return time.Minute
	}
	return o.SweepEvery
}
