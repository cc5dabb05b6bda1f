// Package client is the caller's side of Warren: it connects to RabbitMQ,
// publishes calls with confirms and the mandatory flag, awaits the replies on a
// queue of its own that survives a reconnect, and ends every call by its
// deadline with a reply or an [*warren.Error].
//
// A [Client] is made once per process and target broker, shared by all
// goroutines, and closed at the end. [Call] is the typed way to call, the
// method Call the one in bytes.
package client
