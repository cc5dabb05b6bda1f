// Package journal keeps the latest versions of records together, in an area of a file
// that is written from its beginning to its end and then begun anew. A commit appends one
// entry, however many records it has, and needs one write and one sync; a record that
// changes again before it is flushed is written to its place once.
//
// # Format
//
// Entries begin at multiples of 4 KiB, each in the first such block behind the one before:
// a disk that leaves a block damaged in which it was writing damages the entry that was
// being written, and none before. All numbers are big endian. An entry is
//
//	checksum (4), length (4), generation (16), number of versions (4), length of the head (4)
//	versions of records, in the order in which they were written: length (4), value
//	head
//
// where the length of an entry is that of all of it, and that of a version is the
// value's. What values and heads are, the caller knows; the key of the record is in a
// value. The checksum covers where the entry lies, too.
//
// A generation is a number (8) and a secret (8). The caller keeps it. When all has been
// flushed the next one begins: with that the journal is empty. What the area still has of
// earlier ones is nothing, even if a value contains what looks like an entry: nobody could
// know the secret when it was written.
//
// # Damage
//
// A journal ends before the first entry that is not whole. If an entry of the same
// generation follows that is, the one before was damaged; if none does, it was the last,
// and the write of it was cut off: nobody was told that it was made. That the last entry,
// or the last ones all together, were damaged later cannot be told from that. An entry of a
// later generation at the beginning says that the rest of the file has gone back to what it
// was.
//
// # Use
//
// [Read] reads and verifies the content of an area. A [Tx] collects the versions of one
// commit, whose entry the caller writes; then [Journal.Apply] makes them those of the
// journal. All of the journal is kept in memory, too.
package journal
