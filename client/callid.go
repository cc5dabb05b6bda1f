package client

import (
	"crypto/rand"
	"encoding/base64"
	"sync"

	"github.com/google/uuid"
)

// randomness is read ahead, because an ID is made for every call.
type randomness struct {
	bytes [32 * 16]byte
	left  []byte
}

var randomnesses = sync.Pool{New: func() any { return &randomness{} }}

// uuid returns a random UUID.
func (r *randomness) uuid() (id uuid.UUID) {
	if len(r.left) == 0 {
		_, _ = rand.Read(r.bytes[:]) // it never fails
		r.left = r.bytes[:]
	}
	copy(id[:], r.left)
	r.left = r.left[len(id):]
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // of RFC 9562
	return id
}

// newID returns a random UUID in base64 of the kind for URLs: 22 characters instead of
// the 36 of its text form, which travel with every message. None begins with a hyphen:
// command lines would take it for an option.
func newID() string {
	r, _ := randomnesses.Get().(*randomness)
	defer randomnesses.Put(r)
	var text [22]byte
	for {
		id := r.uuid()
		if base64.RawURLEncoding.Encode(text[:], id[:]); text[0] != '-' {
			return string(text[:])
		}
	}
}
