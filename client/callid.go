package client

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"sync"

	"github.com/google/uuid"
)

// randomness is read ahead, because call IDs are made for every call.
var randomness = sync.Pool{New: func() any { return bufio.NewReaderSize(rand.Reader, 32*16) }}

// newID returns a random UUID in base64 of the kind for URLs: 22 characters instead of
// the 36 of its text form, which travel with every message. None begins with a hyphen:
// command lines would take it for an option.
func newID() string {
	r, _ := randomness.Get().(*bufio.Reader)
	defer randomness.Put(r)
	for {
		id := uuid.Must(uuid.NewRandomFromReader(r))
		if text := base64.RawURLEncoding.EncodeToString(id[:]); text[0] != '-' {
			return text
		}
	}
}
