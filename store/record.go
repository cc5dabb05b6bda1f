package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// State is where a record is in its life.
type State uint8

// The states. Their numbers are what files hold: they do not change.
const (
	Absent      State = 0 // there is no record
	InProgress  State = 1 // it has an owner that is taken to be alive
	Interrupted State = 2 // its owner is dead or gave up; the effect may be there
	Completed   State = 3 // it ended well; Payload is the reply
	Failed      State = 4 // it ended in an error that will not change; Payload is the error
	Parked      State = 5 // too many attempts were begun and not ended; Payload is the error
	Tombstone   State = 6 // it will never run
)

var stateNames = [...]string{
	Absent: "absent", InProgress: "in_progress", Interrupted: "interrupted", Completed: "completed", Failed: "failed",
	Parked: "parked", Tombstone: "tombstone",
}

// String returns "absent", "in_progress", "interrupted", "completed", "failed",
// "parked" or "tombstone".
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return stateNames[s]
}

// Ended reports whether the record says how the call ended: completed, failed or
// parked.
func (s State) Ended() bool { return s == Completed || s == Failed || s == Parked }

// Key names a record.
type Key [sha256.Size]byte

// String returns the key in hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey reads what String returns.
func ParseKey(s string) (k Key, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(k) {
		return Key{}, fmt.Errorf("store: %.80q is not a key: 64 hexadecimal digits", s)
	}
	copy(k[:], b)
	return k, nil
}

// Scope is what a key is made of: two calls are the same one if all of it is.
type Scope struct {
	// Namespace separates services that share a store.
	Namespace string
	// Method and CallID name the call.
	Method, CallID string
	// Caller is the validated caller, if the method keeps callers apart.
	Caller string
	// ReplyTo is the reply address of a plain caller, whose IDs are unique to it
	// alone, if at all.
	ReplyTo string
	// Tenant is on whose behalf the call is made, if the method keeps tenants apart.
	Tenant string
}

// Key returns the SHA-256 of the scope's parts, each after its length. A tenant is
// the last part; without one there is none, as in records of earlier versions.
func (s Scope) Key() Key {
	b := make([]byte, 0, 256)
	parts := []string{s.Namespace, s.Method, s.CallID, s.Caller, s.ReplyTo, s.Tenant}
	if s.Tenant == "" {
		parts = parts[:5]
	}
	for _, part := range parts {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}

// Tombstone returns the key of the tombstone that Bury writes if there is no record
// of the key. It binds those requests alone that have the proof of f.
func (k Key) Tombstone(f Fingerprint) Key {
	b := append(make([]byte, 0, 96), "warren.tombstone\x00"...)
	proof := f.Proof()
	return sha256.Sum256(append(append(b, k[:]...), proof[:]...))
}

// Fingerprint tells requests apart that have the same key. Its first half, the proof,
// is of the request's content, the second of its headers. A half that is zero is not
// known: it equals all.
type Fingerprint [sha256.Size]byte

// proofLength is the length of a fingerprint's first half.
const proofLength = sha256.Size / 2

// ByProof returns the fingerprint of a request of which no more than the proof is
// known.
func ByProof(proof [proofLength]byte) (f Fingerprint) {
	copy(f[:], proof[:])
	return f
}

// Proof returns the first half.
func (f Fingerprint) Proof() (proof [proofLength]byte) { return [proofLength]byte(f[:]) }

// Proven reports whether the proof is known.
func (f Fingerprint) Proven() bool { return f.Proof() != [proofLength]byte{} }

// Matches reports whether both can be of the same request.
func (f Fingerprint) Matches(g Fingerprint) bool {
	var unknown [proofLength]byte
	same := func(a, b [proofLength]byte) bool { return a == b || a == unknown || b == unknown }
	return same(f.Proof(), g.Proof()) && same([proofLength]byte(f[proofLength:]), [proofLength]byte(g[proofLength:]))
}

// Record is what a store knows of a call.
type Record struct {
	Key            Key
	Method, CallID string // for people; a Tombstone of a call that never came has them too
	State          State
	Fingerprint    Fingerprint
	// Token is the fencing token of the last claim, from 1 on; 0 if there was none.
	// It never falls in the life of a record.
	Token uint64
	// Attempts is how often the call was begun and did not end: how many claims it had
	// since it was made, or since it was last taken out of Parked, less those that
	// were abandoned as ended.
	Attempts int
	// First says that nothing of the call had been begun before the last claim.
	First bool
	// Owner is the identity of the store that made the last claim. See
	// [Store.Owner].
	Owner string
	// Lease is when the owner is taken for dead, unless it renews; zero where only
	// the end of its process makes it so, and in every state but InProgress.
	Lease time.Time
	// Created and Updated are when the record was made and last changed.
	Created, Updated time.Time
	// Expires is when the record may be forgotten.
	Expires time.Time
	// Payload is what the call ended with, byte for byte; nil if it has not ended.
	// It must not be changed. It is nil, too, if it was too large to keep: then
	// Retained is false.
	Payload []byte
	// Size and Digest (SHA-256) are the payload's, kept or not.
	Size   int
	Digest [sha256.Size]byte
	// Retained says that Payload is what the call ended with.
	Retained bool
}

// Result is how a call ended.
type Result struct {
	// State is Completed, Failed or Parked.
	State State
	// Payload is opaque to the store. It must not be changed until the store has
	// returned.
	Payload []byte
}

// Validate returns an error if it is not the end of a call.
func (r Result) Validate() error {
	if !r.State.Ended() {
		return fmt.Errorf("store: a call cannot end as %v", r.State)
	}
	return nil
}
