// Package e2e holds the tests of Warren's whole path on a real RabbitMQ: each
// causes one of the things that can go wrong on the way of a call, and demands
// the end that the design promises.
package e2e
