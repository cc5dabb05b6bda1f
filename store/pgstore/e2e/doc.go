// Package e2e has tests of several servers, as processes, with one memory: real ones
// on a real RabbitMQ with a store in a real PostgreSQL.
package e2e
