// Package pgstore keeps the records of package store in PostgreSQL, so that any number of
// servers share a queue and a memory.
package pgstore
