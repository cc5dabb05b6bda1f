package journal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// sample returns a sealed chunk with those values.
func sample(number uint64, values ...string) chunk {
	c := chunk{number, make([]byte, chunkHeader)}
	for _, value := range values {
		offset := len(c.bytes)
		c.bytes = append(c.bytes, make([]byte, versionHeader)...)
		c.bytes = append(c.bytes, value...)
		c.sealVersion(uint32(offset))
	}
	c.seal(len(values))
	return c
}

// FuzzChunk reads chunks of any content: it ends, says what is damaged, and what it takes for
// whole is exactly what would have been written.
func FuzzChunk(f *testing.F) {
	f.Add(uint64(0), []byte{}, false)
	f.Add(uint64(7), sample(7).bytes, false)
	f.Add(uint64(7), sample(7, "one", "", "three").bytes, false)
	f.Add(uint64(7), sample(7, "one", "", "three").bytes, true)
	f.Add(uint64(8), sample(7, "one").bytes, false)
	f.Add(uint64(7), sample(7, "one").bytes[:20], true)
	f.Fuzz(func(t *testing.T, number uint64, content []byte, sealed bool) {
		c := chunk{number, bytes.Clone(content)}
		if sealed { // so that the header is no obstacle
			c.resealed()
		}
		var values []string
		versions, err := c.each(stop, func(v Version, err error) error {
			values = append(values, string(v.Value))
			return err
		})
		if err != nil && !damaged(err) {
			t.Fatalf("the error is %v", err)
		}
		if err == nil && (versions != len(values) || !bytes.Equal(sample(number, values...).bytes, c.bytes)) {
			t.Errorf("%d versions: %q", versions, values)
		}
		findings := 0
		if _, err := c.each(func(error) error { findings++; return nil }, func(_ Version, err error) error { return err }); err != nil || (findings > 0) != damagedChunk(c) {
			t.Errorf("%d findings, error %v", findings, err)
		}
	})
}

func damagedChunk(c chunk) bool {
	_, err := c.each(stop, func(_ Version, err error) error { return err })
	return err != nil
}

// resealed sets the header of a chunk for the versions that can be found in it, and the
// checksums of those.
func (c chunk) resealed() {
	if len(c.bytes) < chunkHeader {
		return
	}
	versions := 0
	for offset := uint32(chunkHeader); ; versions++ {
		v, next, err := c.version(offset)
		if next == 0 {
			break
		}
		if errors.As(err, new(*integrity.DamageError)) && versions%2 == 0 {
			k := v.at.key()
			integrity.Seal(k[:], c.bytes[offset:next])
		}
		offset = next
	}
	c.seal(versions)
}
