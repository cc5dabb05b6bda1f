// Package redisstore keeps the records of package store in Redis 7 or Valkey, for any
// number of servers: at-least-once, and at-most-once where Redis is durable. It has no
// transactions that an application's effects could join: that takes a database.
//
// # How it works
//
// Each operation is one script in Lua, which Redis runs alone among all; concurrent ones
// travel together. Time is that of Redis. A record is a hash that Redis forgets by itself,
// about a minute after its retention. Of a call that is in progress it keeps the record
// for as long as the lease runs.
//
// A script that was sent and not answered, because the connection was lost, may have
// been run or not: it has failed with a *store.UnavailableError. The client may send it
// again by itself; a script knows that it was run before, and answers as it did.
//
// An owner is dead when its lease has run out, or another has seen it say nothing for a
// second while Redis answered: so a server that was killed is known in one to two
// seconds. One that was paused for as long is taken for dead too, and is fenced by its
// token if its call was taken over; if not, it lives on when it comes back.
//
// # What Redis can lose
//
// Redis confirms what it has in memory. What it loses then depends on its configuration,
// and on which server takes the place of a primary that has died:
//
//   - With appendonly yes, appendfsync always and no-appendfsync-on-rewrite no, a restart
//     loses nothing that was confirmed.
//   - With any other persistence it loses the last second, the last minutes, or all.
//   - A replica gets changes after they were confirmed. One that takes the primary's
//     place lacks the last ones, unless [Options.Replicas] has each change wait for it.
//     Redis may also choose a replica that was not waited for: it is certain only if all
//     that can be chosen are.
//
// A record that was lost is that of a call that never came. At-least-once runs it again
// if its request comes again. At-most-once does too, which is why it is refused unless
// [Options.Durability] says what the application knows and accepts.
//
// # How a loss is noticed
//
// The data have an identity, and count the changes of each owner. Every script is told the
// identity and how many of its owner's changes were confirmed, and does nothing if Redis
// has another identity or fewer changes: the operation fails with a *store.CorruptError,
// and so do all after it. A store with fewer changes is given another identity by who
// finds that, so that all its servers stop. They say so within half a second of the time
// when they reach Redis again.
//
// Eviction would take records and leave their counts. A Redis that may evict is refused,
// by Open and later: while its configuration is not as Open wants it, operations fail with
// a *store.UnavailableError, at most 3 s after the change. Keys that were evicted
// meanwhile are a loss.
//
// A server that is started anew takes the store as it is. With a durable store, the
// broker knows by which identity the method's calls were remembered, and the method is
// served again once somebody has adopted the new one.
//
// A loss stays unnoticed if the owners whose changes were lost have ended as well, and
// what another server does before the loss is noticed is done: it may have begun a call
// again that had run.
//
// # Redis Cluster
//
// All keys of a store begin with its prefix in braces, and so lie in one slot, on one
// server of the cluster. To use more of them, give methods stores with different
// prefixes. While the slot moves to another server, operations fail with
// a *store.UnavailableError. Options.Replicas is not for clusters.
package redisstore
