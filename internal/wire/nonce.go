package wire

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
)

// Nonce tells one invocation of a call from every other one that bears the same
// call ID; all its attempts bear it. It is 1 to 16 bytes of [0-9a-z], and zeros
// after these. The zero Nonce is that of a peer that writes none.
type Nonce [16]byte

// text returns the bytes that travel.
func (n *Nonce) text() []byte {
	for i, c := range n {
		if c == 0 {
			return n[:i]
		}
	}
	return n[:]
}

// String returns the nonce as it stands on the wire, empty if there is none.
func (n Nonce) String() string { return string(n.text()) }

func parseNonce(value string) (n Nonce, err error) {
	if len(value) < 1 || len(value) > len(n) {
		return Nonce{}, errors.New("not 1 to 16 bytes long")
	}
	for i := range len(value) {
		if c := value[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return Nonce{}, errors.New("not of [0-9a-z]")
		}
	}
	copy(n[:], value)
	return n, nil
}

// Nonces makes nonces, none of them twice. It is safe for concurrent use.
type Nonces struct{ last atomic.Uint64 }

// nonceBits bounds the first nonce: ten characters, for ever.
const nonceBits = 48

// NewNonces begins anywhere, so that what two clients make is different too, but
// for an accident.
func NewNonces() *Nonces {
	n := &Nonces{}
	n.last.Store(rand.Uint64N(1 << nonceBits))
	return n
}

// Next returns a new nonce.
func (n *Nonces) Next() (nonce Nonce) {
	strconv.AppendUint(nonce[:0], n.last.Add(1), 36)
	return nonce
}
