// Package journal keeps the latest versions of records together, in a bucket of
// bbolt, until they are flushed to where they stay. A commit writes one value at the
// journal's end however many records it has, and a record that changes again before it
// is flushed is written to its place once.
//
// # Format
//
// A chunk lies under its number, 8 bytes, and begins with
//
//	checksum, number of versions, length of the chunk
//
// each of 4 bytes, big endian. The versions of records follow, in the order in which they
// were written, each with
//
//	checksum, length, value
//
// where the length is that of all three. What a value is, its caller knows; the key of
// the record is in it. Checksums cover where a thing lies, too. The caller keeps the
// numbers of the first chunk and of the next one ([Bounds]), so that nothing of the
// journal can be lost unnoticed.
//
// # Use
//
// [Read] reads and verifies the journal of a file. A [Tx] is the journal in one
// transaction of bbolt; once that has been committed, [Journal.Apply] makes its changes
// those of the journal. Where the latest versions are is kept in memory.
package journal
