// Package chaospg has the servers of a chaos run keep what they remember, and the
// application's state, in PostgreSQL.
package chaospg
