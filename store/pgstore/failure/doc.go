// Package failure tests what becomes of calls whose records are in PostgreSQL when connections, the database or its
// machine fail. Each failure ends in the documented error, nothing is run twice, and nothing is lost. It has tests only.
package failure
