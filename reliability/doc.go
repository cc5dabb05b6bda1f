// Package reliability is where policies are written: what is done about the calls
// of methods that fail, are slow, or come too often.
//
// [Rules] says it by patterns of methods' names, for package client; package
// policyfile reads them from files, and package simulate shows what they do.
// [Retry], [Hedge], [Breaker] and [Budget] do the same for functions of your own,
// and know no AMQP.
package reliability
