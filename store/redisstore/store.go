package redisstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/store"
)

// Store is a [store.Store] in Redis, with leases, that any number of processes share.
// All its methods are safe for concurrent use. It has a goroutine that says that it is
// alive, over a connection of its own, and others while there is something to send or to
// wait for.
type Store struct {
	client   redis.UniversalClient
	own      redis.UniversalClient // the client, if the store made it
	session  redis.UniversalClient // for what must not wait for a connection of the client's
	end      func() error          // ends the session
	opts     Options
	keys     names
	owner    string
	identity store.Identity
	next     string // the identity that the store gets if this owner finds that data were lost

	evicted evictions // known to check alone

	line    line
	owners  *owners
	watch   *watch
	calls   atomic.Uint64 // how many scripts were made
	changes atomic.Uint64 // how many changes of this owner's were confirmed

	closing sync.Once
	closed  error
}

var (
	_ store.Store  = (*Store)(nil)
	_ store.Waiter = (*Store)(nil)
)

// names are those of the keys. The braces put all of a store in one slot of a cluster.
type names struct {
	meta, owners, changes, tokens, tombstones, synced, records string
}

func newNames(prefix, owner string) names {
	p := "{" + prefix + "}:"
	return names{
		meta: p + "store", owners: p + "owners", changes: p + "changes:" + owner, tokens: p + "tokens",
		tombstones: p + "tombstones", synced: p + "synced", records: p + "record:",
	}
}

// record is the key of a record: the prefix, and the 32 bytes of its own key.
func (n *names) record(key store.Key) string { return n.records + string(key[:]) }

func newStore(client redis.UniversalClient, o Options) *Store {
	s := &Store{client: client, opts: o, owner: "redis-" + rand.Text()}
	s.session, s.end = newSession(client)
	s.keys = newNames(o.Prefix, s.owner)
	s.identity.Place = place(client, o.Prefix)
	s.next = s.fresh()
	s.line = line{client: client, opts: &s.opts, synced: s.keys.synced}
	s.owners = newOwners(s)
	s.watch = newWatch(s)
	return s
}

// op returns the script's run, with what all scripts are given and the records' keys.
func (s *Store) op(sc *script, records []string, args ...any) *op {
	at := ""
	if s.opts.Now != nil {
		at = micros(s.opts.Now())
	}
	// A script that is sent again, because the connection was lost, is known by its number.
	nonce := s.owner + strconv.FormatUint(s.calls.Add(1), 36)
	o := &op{script: sc, done: make(chan struct{})}
	if sc == getScript {
		// It may be that large at most, and is seldom near it.
		o.reads = max(0, s.opts.MaxPayload/16)
	}
	o.keys = append([]string{s.keys.meta, s.keys.owners, s.keys.changes, s.keys.tokens, s.keys.tombstones}, records...)
	o.args = append([]any{s.identity.ID, s.changes.Load(), s.next, at, s.owner, nonce}, args...)
	return o
}

// run runs a script, on the keys of a record and the tombstone that binds it.
func (s *Store) run(ctx context.Context, sc *script, records []string, args ...any) (answer, error) {
	o := s.op(sc, records, args...)
	return s.answered(ctx, o, s.line.do(ctx, o))
}

// answered turns the end of a script's run into its answer.
func (s *Store) answered(ctx context.Context, o *op, err error) (answer, error) {
	var a answer
	if err == nil {
		a, err = parseAnswer(o.reply)
	}
	if err != nil {
		return answer{}, s.failure(ctx, o.script.name, err)
	}
	s.confirm(a.changes)
	return a, nil
}

// confirm notes that so many changes were made, and confirmed. Redis must never have
// fewer.
func (s *Store) confirm(changes uint64) {
	for {
		have := s.changes.Load()
		if changes <= have || s.changes.CompareAndSwap(have, changes) {
			return
		}
	}
}

// record reads the record of an answer.
func (s *Store) record(op string, key store.Key, a answer) (store.Record, error) {
	r, err := parseRecord(key, a.record)
	if err != nil {
		return store.Record{}, &store.CorruptError{
			Path: s.identity.Place, Detail: "the record " + key.String() + " cannot be read", Repair: "redis-cli hgetall", Cause: fmt.Errorf("%s: %w", op, err),
		}
	}
	return r, nil
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key store.Key) (store.Record, error) {
	a, err := s.run(ctx, getScript, []string{s.keys.record(key)})
	if err != nil {
		return store.Record{}, err
	}
	return s.record("get", key, a)
}

var (
	errLease     = errors.New("redisstore: the lease must be above 0")
	errRetention = errors.New("redisstore: the retention must be above 0")
	errProof     = errors.New("redisstore: a tombstone needs the proof of its call")
)

// Claim implements [store.Store].
func (s *Store) Claim(ctx context.Context, c store.Claim) (r store.Record, won bool, err error) {
	switch {
	case c.Lease <= 0:
		return r, false, errLease
	case c.Retention <= 0:
		return r, false, errRetention
	}
	records := []string{s.keys.record(c.Key)}
	tombstone := c.Key
	if c.Fingerprint.Proven() {
		tombstone = c.Key.Tombstone(c.Fingerprint)
		records = append(records, s.keys.record(tombstone))
	}
	a, err := s.run(ctx, claimScript, records, span(c.Lease), span(c.Retention), flag(c.Once), flag(c.Unpark), c.Fingerprint[:], c.Method, c.CallID)
	if err != nil {
		return r, false, err
	}
	if a.word == "reused" {
		return r, false, store.ErrKeyReused
	}
	r, err = s.record("claim", c.Key, a)
	// A record that never had a token is a tombstone of a call that never came.
	if r.State == store.Tombstone && r.Token == 0 {
		r.Key = tombstone
	}
	return r, a.word == "won" && err == nil, err
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// owned runs a script that a record's owner alone may.
func (s *Store) owned(ctx context.Context, sc *script, key store.Key, token uint64, args ...any) error {
	base, turn := tokenParts(token)
	a, err := s.run(ctx, sc, []string{s.keys.record(key)}, append([]any{base, turn}, args...)...)
	if err == nil && a.word == "stale" {
		err = store.ErrStale
	}
	return err
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, key store.Key, token uint64, lease time.Duration) error {
	if lease <= 0 {
		return errLease
	}
	return s.owned(ctx, renewScript, key, token, span(lease))
}

// Complete implements [store.Store].
func (s *Store) Complete(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
	if retention <= 0 {
		return errRetention
	}
	if err := r.Validate(); err != nil {
		return err
	}
	digest := sha256.Sum256(r.Payload)
	args := []any{int(r.State), span(retention), len(r.Payload), digest[:]}
	if len(r.Payload) <= s.opts.MaxPayload {
		args = append(args, r.Payload)
	}
	return s.owned(ctx, completeScript, key, token, args...)
}

// Abandon implements [store.Store].
func (s *Store) Abandon(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
	return s.owned(ctx, abandonScript, key, token, int(end))
}

// Bury implements [store.Store].
func (s *Store) Bury(ctx context.Context, b store.Claim) (before store.Record, err error) {
	if b.Retention <= 0 {
		return before, errRetention
	}
	if !b.Fingerprint.Proven() {
		return before, errProof
	}
	proven := store.ByProof(b.Fingerprint.Proof())
	tombstone := b.Key.Tombstone(proven)
	a, err := s.run(ctx, buryScript, []string{s.keys.record(b.Key), s.keys.record(tombstone)},
		span(b.Retention), proven[:], b.Method, b.CallID, s.opts.Tombstones)
	if err != nil {
		return before, err
	}
	switch a.word {
	case "reused":
		return before, store.ErrKeyReused
	case "tombstones":
		return before, &store.TombstonesError{Limit: s.opts.Tombstones, RetryAfter: tombstonesRetryAfter}
	}
	before, err = s.record("bury", b.Key, a)
	if before.State == store.Tombstone && before.Token == 0 {
		before.Key = tombstone
	}
	return before, err
}

const tombstonesRetryAfter = time.Minute

// Sweep implements [store.Store]. It does nothing: Redis forgets by itself what is past
// its retention, within a minute or so.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if s.line.isClosed() {
		return 0, store.ErrClosed
	}
	return 0, ctx.Err()
}

// Owner implements [store.Store].
func (s *Store) Owner() string { return s.owner }

// Identity implements [store.Store].
func (s *Store) Identity() store.Identity { return s.identity }

// Traits implements [store.Store]. A store is as durable as Options.Durability says.
func (s *Store) Traits() store.Traits {
	return store.Traits{Durable: s.opts.Durability != Forgets, Shared: true}
}

// Close implements [store.Store]. Others know at once that the owner has ended, if Redis
// can be reached; what it has in progress is interrupted then. It waits for what was
// sent, at most as long as the client's timeouts allow.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.owners.stop()
		s.watch.stop()
		s.line.close()
		s.leave()
		s.closed = s.end()
		if s.own != nil {
			s.closed = errors.Join(s.closed, s.own.Close())
		}
	})
	return s.closed
}

// leaveTimeout bounds how long Close tells others.
const leaveTimeout = time.Second

// leave tells others that this owner has ended. If that fails, they find out.
func (s *Store) leave() {
	if s.owners.quiet {
		return // Redis does not answer, and may not for long
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	o := s.op(leaveScript, nil)
	_ = s.session.Eval(ctx, o.script.source, o.keys, o.args...).Err()
}
