package client

import (
	"bufio"
	"crypto/rand"
	"sync"

	"github.com/google/uuid"
)

// randomness is read ahead, because call IDs are made for every call.
var randomness = sync.Pool{New: func() any { return bufio.NewReaderSize(rand.Reader, 32*16) }}

// newCallID returns a random UUID.
func newCallID() string {
	r, _ := randomness.Get().(*bufio.Reader)
	defer randomness.Put(r)
	return uuid.Must(uuid.NewRandomFromReader(r)).String()
}
