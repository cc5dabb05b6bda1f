// Package workload is what a chaos run is about: operations whose every effect can
// be found again, a server that does them, and clients that ask for them.
//
//   - append adds the call to a book. Each call is another one: what is in the book
//     twice, or not at all, says which promise was broken.
//   - transfer moves money between accounts, of which there is always as much.
//   - read, write and cas work on registers, whose history must be one that could
//     have happened one operation after the other (linearizability).
//   - poison kills the server that handles it.
//
// In transactional mode all of them are done in the store's file or database, see
// [Backend], by the transaction that also holds the record of the call. In the other modes only
// append and poison are done, and the book is a file outside of the store: the
// server's log of the run.
package workload
