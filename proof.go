package warren

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Proof is what shows a server that who asks about a call knows it: a hash of the
// request's content. A call ID alone may be guessed, or seen in a log. The zero Proof
// is none.
//
// It is as hard to guess as the request's body, for those who know the rest.
type Proof [16]byte

// ProofOf returns the proof of a call with that content type, content encoding and
// body, as they travel: the first half of the SHA-256 of the three, each after its
// length. Headers do not count. An [Error] of a call has its Proof; ProofOf makes it
// anew where that is lost, as after a crash.
func ProofOf(contentType, contentEncoding string, body []byte) (p Proof) {
	b := make([]byte, 0, 256)
	for _, part := range [...]string{contentType, contentEncoding} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	h := sha256.New()
	_, _ = h.Write(binary.AppendUvarint(b, uint64(len(body)))) // a hash does not fail
	_, _ = h.Write(body)
	copy(p[:], h.Sum(nil))
	return p
}

// String returns the proof in hexadecimal digits.
func (p Proof) String() string { return hex.EncodeToString(p[:]) }

// ParseProof reads what String returns, in lower or upper case.
func ParseProof(s string) (p Proof, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(p) {
		return Proof{}, fmt.Errorf("warren: %.40q is not a proof: 32 hexadecimal digits", s)
	}
	return Proof(b), nil
}
