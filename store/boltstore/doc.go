// Package boltstore keeps the records of a server in a file, in a database of
// go.etcd.io/bbolt. It is a [store.Transactional]: a handler's effect, if it is
// written to the same file, commits with the call's record or not at all.
//
// # One process
//
// A file has one process at a time: a second one gets a *store.HeldError within a
// second. So nobody needs leases. Opening the file raises its epoch, a number kept
// in the file, and with that every claim of an earlier epoch has a dead owner. The
// clock has no part in it.
//
// # Commits
//
// All changes that wait are committed as one, by one of those who wait: a single caller
// waits for nobody, not even for another goroutine, and 256 of them share the cost. A
// change whose method has returned nil is on the disk. Get does not show a change before
// it is there.
//
// A commit is one write to the end of a journal in the file, and one sync of the disk. When
// the journal is full, after 8192 versions of records, 1024 commits or 4 MiB, they are flushed to the
// places where they stay, in a transaction of bbolt with its two syncs: of each record the
// latest version. What is in the journal is kept in memory, and read when the file is
// opened. Records of more than 16 KiB, what commits together with a function of the
// application, sweeps, and all if Options.NoJournal is set, are written to their places at
// once, with what the journal has.
//
// # Transactions of the application
//
// The function given to [Store.Transact] has the whole file but the top-level
// buckets whose names begin with [Bucket], which are the store's; to delete or
// replace them, or to change what that of the journal has, is an error, and to change
// what is in the others is found by [Check] alone. Commit and Rollback of the transaction panic. The function runs on the
// goroutine that called Transact, while all other changes wait: one that hangs stops
// the store, and one that calls a changing method of the store hangs. Handlers that it
// gives to the transaction's OnCommit run while the others wait, too, and must not end
// their goroutine or call the store.
//
// # Size
//
// The size in use is that of the file without its free pages. From 80 % of
// Options.SizeLimit on, records are not made any more (*store.FullError), while
// those that are there still end, above 100 % too: what has run must be written
// down. A sweep makes room for new records at once; the file itself does not
// shrink, except by [Compact].
//
// # Time
//
// Retention is reckoned by Options.Now, in the record: it ends at an instant of
// that clock. A record past it is absent for all methods, and a sweep deletes it. A
// clock that is set forward by an hour ends retentions an hour early; one that is
// set back keeps what is there, and what a jump forward made, for an hour longer; what
// was past its retention, and was not swept, is there again. If that must not matter,
// retentions are longer than the clock is wrong. Records
// in progress with a living owner have no end.
//
// # Damage
//
// Each record has a checksum, and a record counts as absent only if the journal does not
// have it, and its neighbours in the index are whole and in order. Branch pages, the free
// list, the length of the file and the journal are verified when it is opened. What is
// found wrong, then or later, fails closed: the method, and all after it, return
// *store.CorruptError, and the file is left as it is. Damage to the pages of the
// application's own buckets may be met by the application first, as a panic of bbolt. A
// leaf page whose header alone was changed can hide records from all this; [Check] finds it.
//
// Of a file that was not closed, since its process was killed or the machine failed, damage
// that begins anywhere in the journal and reaches its last commit looks like commits that were
// cut off, of which nobody was told: what they recorded is forgotten. Commits do not share
// blocks of 4 KiB, so one bad block costs the last commit at most, and one before it is found.
// That holds for disks that leave other blocks alone while they write one, as a bad power
// failure may not. Close leaves a file of which nothing is forgotten so.
//
// A change that the disk refuses is a *store.UnavailableError, and may have been
// made. The store tries again with the next change, and shows nothing before the
// disk has confirmed it.
//
// # Versions of the format
//
// The file holds the version of its format. A later one than this package knows is a
// *store.VersionError. Files of versions before 5 were never released: they are refused,
// and not converted.
package boltstore
