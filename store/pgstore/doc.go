// Package pgstore keeps the records of package store in PostgreSQL, so that any number of
// servers share a queue and a memory.
//
// [Migrate] makes the tables, or warren store migrate does; [Open] and [OpenURL] open a store
// on them, as often as wanted: each is an owner of its own. Time is the database's.
//
// # Claims and ends
//
// A store has two connections of its own for claims, renewals and ends, beside the pool's.
// What waits for one of them is done together, in one transaction and with one commit; a call
// that is alone has a commit for its claim and one for its end. Before a claim looks for its
// record it takes an advisory lock on the key until the commit, because the record may be in
// any partition, and no index spans them. What meets a record in the way is decided alone: in a
// transaction on a connection of the pool, which locks the key and reads the record before it
// changes it.
//
// An end finds its record by the partition that its token names. If the record has been moved
// since, or is to be kept for longer than its partition, it takes the same way alone.
//
// # Transactions
//
// [Store.Transact] has the record's end in the transaction of the application. It checks the
// token at the beginning, takes no lock of the record while the function runs, and ends it with
// the commit, on condition that the token is still the owner's. So two servers may run a
// call's function at once, when one believes the other dead; one of them commits.
//
// # When the database does not answer
//
// What fails for certain has changed nothing, and says so by its error. If the connection is
// lost while a commit is on its way, Transact asks the record what became of it; a claim or an
// end returns a [store.UnavailableError]: it may have been done, and Get tells. The next call
// connects again.
package pgstore
