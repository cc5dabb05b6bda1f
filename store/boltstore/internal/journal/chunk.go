package journal

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

const (
	chunkHeader   = integrity.SumLength + 4 + 4
	versionHeader = integrity.SumLength + 4
)

// position is where a version is: in a chunk, from a byte on.
type position struct {
	chunk  uint64
	offset uint32
}

// key is what the checksum of the version covers beside its bytes.
func (p position) key() (k [12]byte) {
	binary.BigEndian.PutUint64(k[:], p.chunk)
	binary.BigEndian.PutUint32(k[8:], p.offset)
	return k
}

// Version is a record as one commit has left it.
type Version struct {
	// Value belongs to the transaction: it must not be changed, and is valid until the
	// next change of the journal or the transaction's end.
	Value []byte

	at position
}

// Damaged returns an *integrity.DamageError that says how the version is damaged.
func (v Version) Damaged(how string) error { return v.at.damaged(how) }

func (p position) damaged(how string) error {
	return integrity.Damaged("the journal: the version at %d of chunk %d: %s", p.offset, p.chunk, how)
}

// chunk is a part of the journal: the versions of one commit, or of several short ones.
type chunk struct {
	number uint64
	bytes  []byte
}

func chunkKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// seal sets the chunk's header.
func (c chunk) seal(versions int) {
	binary.BigEndian.PutUint32(c.bytes[integrity.SumLength:], uint32(versions))
	binary.BigEndian.PutUint32(c.bytes[integrity.SumLength+4:], uint32(len(c.bytes)))
	integrity.Seal(chunkKey(c.number), c.bytes[:chunkHeader])
}

// versions returns how many versions the chunk has, by its header.
func (c chunk) versions() (int, error) {
	header, err := integrity.Unseal(chunkKey(c.number), c.bytes[:min(chunkHeader, len(c.bytes))])
	if err != nil || len(c.bytes) < chunkHeader || int64(binary.BigEndian.Uint32(header[4:])) != int64(len(c.bytes)) {
		return 0, integrity.Damaged("the journal: the header of chunk %d is wrong", c.number)
	}
	return int(binary.BigEndian.Uint32(header)), nil
}

// sealVersion sets the header of the version that begins at the offset and ends with the chunk.
func (c chunk) sealVersion(offset uint32) {
	v := c.bytes[offset:]
	binary.BigEndian.PutUint32(v[integrity.SumLength:], uint32(len(v)))
	key := position{c.number, offset}.key()
	integrity.Seal(key[:], v)
}

// version reads the version at an offset. It returns the offset of the next one, after an
// error too, or 0 if the version's length is wrong.
func (c chunk) version(offset uint32) (v Version, next uint32, err error) {
	v.at = position{c.number, offset}
	rest := c.bytes[min(int64(offset), int64(len(c.bytes))):]
	if len(rest) < versionHeader {
		return v, 0, v.Damaged("it is too short")
	}
	length := binary.BigEndian.Uint32(rest[integrity.SumLength:])
	if length < versionHeader || int64(length) > int64(len(rest)) {
		return v, 0, v.Damaged("its length is wrong")
	}
	v.Value = rest[versionHeader:length:length]
	key := v.at.key()
	if _, err := integrity.Unseal(key[:], rest[:length]); err != nil {
		return v, offset + length, v.Damaged(err.Error())
	}
	return v, offset + length, nil
}

// each calls fn with the versions of the chunk and, if a version is damaged, with what is
// wrong with it. It passes what fn returns, and what is wrong with the chunk, to report,
// goes on as long as that returns nil, and returns what report did.
func (c chunk) each(report func(error) error, fn func(Version, error) error) (versions int, err error) {
	want, err := c.versions()
	if err != nil {
		return 0, report(err)
	}
	for offset := uint32(chunkHeader); int(offset) < len(c.bytes); versions++ {
		v, next, err := c.version(offset)
		if next > 0 {
			err = fn(v, err)
		}
		if err != nil {
			err = report(err)
		}
		if err != nil || next == 0 {
			return versions, err
		}
		offset = next
	}
	if versions != want {
		return versions, report(integrity.Damaged("the journal: chunk %d has %d versions, not %d", c.number, versions, want))
	}
	return versions, nil
}
