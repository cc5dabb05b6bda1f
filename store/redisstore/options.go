package redisstore

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Durability is what a team knows of its Redis, and takes it for.
type Durability uint8

const (
	// Forgets: Redis may lose what it has confirmed, when it restarts and when another
	// server takes its place. The store is not durable, and does for at-least-once only.
	Forgets Durability = iota
	// OnDisk: the primary has what it confirms on its disk: its configuration is
	// appendonly yes, appendfsync always and no-appendfsync-on-rewrite no. Open checks
	// that, and fails if it is otherwise, and the open store does nothing while it is;
	// where Redis does not tell its configuration to this user, the
	// application's word is taken. It outlives a restart of the primary. A replica
	// that takes its place may not have the last changes, unless Options.Replicas says
	// that it must.
	OnDisk
	// OnReplicas: as many replicas as Options.Replicas says have what is confirmed, in
	// memory. It outlives the loss of the primary if one of these replicas takes
	// its place. It does not outlive an end of all of them at a time.
	OnReplicas
)

// Options say how a store works. The zero value is ready, for at-least-once.
type Options struct {
	// Prefix is what the names of all keys begin with, in braces. Stores with different
	// prefixes know nothing of each other. Without braces in it. Default "warren".
	Prefix string
	// MustExist has Open fail if the store is not there, instead of making it.
	MustExist bool
	// Durability is what the application accepts as durable. It decides
	// [store.Traits].Durable, without which a server refuses at-most-once. Default
	// Forgets.
	Durability Durability
	// Replicas is how many replicas must have a change before it counts (WAIT). What
	// fewer had within ReplicaTimeout has failed with a *store.UnavailableError, and may
	// have been done. Default 0: none is waited for. Not with a client of Redis Cluster.
	Replicas int
	// ReplicaTimeout is how long replicas are waited for; below the client's read timeout.
	// Default 1 s.
	ReplicaTimeout time.Duration
	// MaxPayload is the largest payload that is kept, in bytes; of a larger one there are
	// the size and the digest. Default 1 MiB; below 0: none is kept.
	MaxPayload int
	// Tombstones is how many tombstones of calls that never came there may be before no
	// more are written. Default 100,000; below 0: none is written.
	Tombstones int
	// Now is the clock by which leases and retentions are judged, for tests. Default: that
	// of Redis. The clock of the server's machine is never used.
	Now func() time.Time
	// Logger is told when Redis has lost data, and when it cannot be reached. It is called
	// by the store's own goroutine. Default slog.Default().
	Logger *slog.Logger
}

func (o Options) complete() (Options, error) {
	if o.Prefix == "" {
		o.Prefix = "warren"
	}
	if o.ReplicaTimeout == 0 {
		o.ReplicaTimeout = time.Second
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = 1 << 20
	}
	if o.Tombstones == 0 {
		o.Tombstones = 100_000
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case strings.ContainsAny(o.Prefix, "{}*?[]\\"):
		return o, fmt.Errorf("redisstore: Options.Prefix is %q; it must have none of {}*?[]\\", o.Prefix)
	case o.Durability > OnReplicas:
		return o, fmt.Errorf("redisstore: Options.Durability is %d; it must be one of the constants", o.Durability)
	case o.Durability == OnReplicas && o.Replicas < 1:
		return o, errors.New("redisstore: Options.Durability is OnReplicas; Options.Replicas must be at least 1")
	case o.Replicas < 0 || o.ReplicaTimeout < 0:
		return o, errors.New("redisstore: Options.Replicas and Options.ReplicaTimeout must not be below 0")
	}
	return o, nil
}
