// Package integrity has the checksums of what a store writes, and the error of what is not as it was written.
package integrity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// SumLength is the length of a checksum.
const SumLength = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrSum says that bytes are not what was written.
var ErrSum = errors.New("its checksum is wrong")

// DamageError says what is wrong with a file.
type DamageError struct{ Detail string }

// Error implements error.
func (d *DamageError) Error() string { return d.Detail }

// Damaged returns a *DamageError.
func Damaged(format string, args ...any) error { return &DamageError{fmt.Sprintf(format, args...)} }

// Sum is the checksum of a value and the key under which it lies, so that a value in
// another's place is found to be wrong.
func Sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// Seal sets the checksum of a value, which is its first bytes, and returns the value.
func Seal(key, value []byte) []byte {
	binary.BigEndian.PutUint32(value, Sum(key, value[SumLength:]))
	return value
}

// Unseal returns a value without its checksum, or ErrSum if that is wrong.
func Unseal(key, value []byte) ([]byte, error) {
	if len(value) < SumLength || binary.BigEndian.Uint32(value) != Sum(key, value[SumLength:]) {
		return nil, ErrSum
	}
	return value[SumLength:], nil
}
