package pgstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/warren-rpc/warren/store"
)

var (
	errLease     = errors.New("pgstore: the lease must be above 0")
	errRetention = errors.New("pgstore: the retention must be above 0")
	errProof     = errors.New("pgstore: a tombstone needs the proof of its call")
)

// row is a record as its table has it.
type row struct {
	store.Record
	owner int64 // Record.Owner in the table
	alive bool  // the owner is among those whose stores are open
}

// prefix is the part of a key that the tables' indexes have.
func prefix(key store.Key) int64 {
	return int64(binary.BigEndian.Uint64(key[:8]))
}

// dead reports whether the record is in progress with a dead owner.
func (r *row) dead(now time.Time) bool {
	return r.State == store.InProgress && (!r.alive || !now.Before(r.Lease))
}

// over reports whether the record may be forgotten.
func (r *row) over(now time.Time) bool {
	return !now.Before(r.Expires) && (r.State != store.InProgress || r.dead(now))
}

// view returns the record as callers see it. A nil row is no record.
func (r *row) view(key store.Key, now time.Time) store.Record {
	if r == nil || r.over(now) {
		return store.Record{Key: key}
	}
	v := r.Record
	if r.dead(now) {
		v.State, v.Lease = store.Interrupted, time.Time{}
	}
	return v
}

// checkClaim returns an error if the claim can never be made.
func checkClaim(c store.Claim) error {
	if c.Lease <= 0 {
		return errLease
	}
	if c.Retention <= 0 {
		return errRetention
	}
	return nil
}

// claim changes the record that was found as the claim would have it, and reports whether it wins. An absent record is
// not its business.
func claim(r *store.Record, c store.Claim, now time.Time) (won bool) {
	switch {
	case r.State == store.Interrupted && !c.Once:
	case r.State == store.Parked && c.Unpark:
		r.Attempts = 0
		r.Payload, r.Size, r.Digest, r.Retained = nil, 0, [sha256.Size]byte{}, false
	default:
		return false
	}
	r.First = false
	r.State = store.InProgress
	r.Token++
	r.Attempts++
	r.Lease = now.Add(c.Lease)
	r.Expires = now.Add(c.Retention)
	if r.Fingerprint == (store.Fingerprint{}) {
		r.Fingerprint = c.Fingerprint
	}
	return true
}

// end is what becomes of a record in progress whose owner has the token.
type end struct {
	op        string // the method that asked, for errors
	key       store.Key
	token     uint64
	state     store.State   // the new one; InProgress renews the lease
	lease     time.Duration // 0: none
	retention time.Duration // 0: the record expires when it did
	less      int           // by how much the attempts fall
	undone    bool          // nothing was done: a first claim's record is forgotten
	size      int
	digest    []byte
	retained  bool
	payload   []byte
}

func renewal(key store.Key, token uint64, lease time.Duration) end {
	return end{op: "renew", key: key, token: token, state: store.InProgress, lease: lease}
}

func abandonment(key store.Key, token uint64, how store.AttemptEnd) end {
	e := end{op: "abandon", key: key, token: token, state: store.Interrupted, undone: how == store.Undone}
	if how != store.Unended {
		e.less = 1
	}
	return e
}

// completion returns the end of a call that has the result; of its payload as much as is kept.
func (o *Options) completion(op string, key store.Key, token uint64, result store.Result, retention time.Duration) (end, error) {
	if retention <= 0 {
		return end{}, errRetention
	}
	if err := result.Validate(); err != nil {
		return end{}, err
	}
	digest := sha256.Sum256(result.Payload)
	e := end{
		op: op, key: key, token: token, state: result.State, retention: retention,
		size: len(result.Payload), digest: digest[:], retained: len(result.Payload) <= o.MaxPayload,
	}
	if e.retained {
		e.payload = append([]byte{}, result.Payload...)
	}
	return e, nil
}

// owned reports whether the record is in progress and the token its owner's.
func (e *end) owned(r *row, now time.Time) bool {
	return r != nil && r.State == store.InProgress && r.Token == e.token && !r.over(now)
}

// apply changes a record that is owned.
func (e *end) apply(r *store.Record, now time.Time) {
	r.State = e.state
	r.Lease = time.Time{}
	if e.lease > 0 {
		r.Lease = now.Add(e.lease)
	}
	if e.retention > 0 {
		r.Expires = now.Add(e.retention)
	}
	r.Attempts -= e.less
	r.Size, r.Retained, r.Payload = e.size, e.retained, e.payload
	copy(r.Digest[:], e.digest)
}

// text returns s as the database takes it: it refuses zero bytes, and what is not UTF-8.
func text(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

// signed is the token as the database has it. One that no record can have becomes one that no record has.
func signed(token uint64) int64 { return int64(token) }
