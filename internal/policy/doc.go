// Package policy has what stands behind the policies of package reliability: what
// they amount to for a method, and the mechanics that carry them out. Client, server
// and simulation share it. It knows no AMQP, and no clock but the times that it is
// given.
package policy
