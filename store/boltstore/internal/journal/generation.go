package journal

import (
	"crypto/rand"
	"encoding/binary"
)

// Generation is what the entries have in common that were written between two flushes.
type Generation struct {
	Number uint64
	// Secret is drawn at the flush, and written to entries only from then on. What records
	// had before, whoever has chosen their bytes, cannot have it but by chance.
	Secret [8]byte
}

const generationLength = 8 + 8

// Next returns a generation that follows g.
func (g Generation) Next() Generation {
	next := Generation{Number: g.Number + 1}
	_, _ = rand.Read(next.Secret[:]) // it never fails
	return next
}

func (g Generation) encode(to []byte) {
	binary.BigEndian.PutUint64(to, g.Number)
	copy(to[8:generationLength], g.Secret[:])
}

func decodeGeneration(b []byte) Generation {
	return Generation{Number: binary.BigEndian.Uint64(b), Secret: [8]byte(b[8:generationLength])}
}
