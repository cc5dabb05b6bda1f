// Package reliability holds Warren's policies. It knows no AMQP: each part can
// be used alone.
package reliability
