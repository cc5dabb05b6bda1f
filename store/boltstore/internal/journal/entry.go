package journal

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

const (
	entryHeader   = integrity.SumLength + 4 + generationLength + 4 + 4
	versionHeader = 4
	block         = 4 << 10
)

// aligned returns where the next entry begins after one that ends at the offset.
func aligned(offset int) int { return (offset + block - 1) / block * block }

// position is where a value is in the area.
type position struct{ offset, length uint32 }

// entry is what one commit has appended, which lies in the area at an offset.
type entry struct {
	offset   int
	bytes    []byte
	versions int
	head     []byte
}

// sum is the checksum of an entry.
func sum(offset int, entry []byte) uint32 {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(offset))
	return integrity.Sum(at[:], entry[integrity.SumLength:])
}

// seal sets the header of an entry that ends with the head.
func seal(offset int, entry []byte, generation Generation, versions, head int) {
	binary.BigEndian.PutUint32(entry[4:], uint32(len(entry)))
	generation.encode(entry[8:])
	binary.BigEndian.PutUint32(entry[24:], uint32(versions))
	binary.BigEndian.PutUint32(entry[28:], uint32(head))
	binary.BigEndian.PutUint32(entry, sum(offset, entry))
}

// parse returns the entry of a generation that lies at an offset of the area; ok is false
// if none does that is whole.
func parse(area []byte, offset int, generation Generation) (e entry, ok bool) {
	rest := area[min(offset, len(area)):]
	if len(rest) < entryHeader || decodeGeneration(rest[8:]) != generation {
		return e, false
	}
	length := int64(binary.BigEndian.Uint32(rest[4:]))
	if length < entryHeader || length > int64(len(rest)) {
		return e, false
	}
	b := rest[:length:length]
	if binary.BigEndian.Uint32(b) != sum(offset, b) {
		return e, false
	}
	head := int64(binary.BigEndian.Uint32(b[28:]))
	if head > length-entryHeader {
		return e, false
	}
	return entry{offset, b, int(binary.BigEndian.Uint32(b[24:])), b[length-head:]}, true
}

// first returns the entry at the beginning of an area, whatever its generation; ok is false
// if there is none that is whole. Nothing of a record's lies there.
func first(area []byte) (e entry, generation Generation, ok bool) {
	if len(area) < entryHeader {
		return e, generation, false
	}
	generation = decodeGeneration(area[8:])
	e, ok = parse(area, 0, generation)
	return e, generation, ok
}

// each calls fn with the places of the entry's versions. The error is a damage.
func (e entry) each(fn func(position) error) error {
	end := len(e.bytes) - len(e.head)
	versions := 0
	for at := entryHeader; at < end; versions++ {
		if end-at < versionHeader {
			return e.damaged("it is too short")
		}
		length := int64(binary.BigEndian.Uint32(e.bytes[at:]))
		at += versionHeader
		if length > int64(end-at) {
			return e.damaged("a version is longer than it")
		}
		if err := fn(position{uint32(e.offset + at), uint32(length)}); err != nil {
			return err
		}
		at += int(length)
	}
	if versions != e.versions {
		return e.damaged("it has another number of versions than it says")
	}
	return nil
}

func (e entry) damaged(how string) error {
	return integrity.Damaged("the journal: the entry at %d: %s", e.offset, how)
}

// next returns the first whole entry of a generation that begins behind an offset.
func next(area []byte, offset int, generation Generation) (e entry, ok bool) {
	for at := aligned(offset + 1); at < len(area); at += block {
		if e, ok := parse(area, at, generation); ok {
			return e, true
		}
	}
	return e, false
}
