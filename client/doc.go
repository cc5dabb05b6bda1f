// Package client is the caller's side of Warren: it connects to RabbitMQ,
// publishes calls with confirms and the mandatory flag, awaits the replies on a
// queue of its own that survives a reconnect, and ends every call by its
// deadline with a reply or an [*warren.Error].
//
// A call passes, in this order:
//
//   - the interceptors of Config.Interceptors, once per call and not per attempt
//   - the checks: of its bounds, of the broker's block, and with [FailFast] whether
//     there is a server; what they refuse costs nothing of what follows
//   - the method's bulkhead, where it has a place until it ends
//   - the retries, within the method's budget, and within them for each attempt
//   - the method's breaker, which is told how the attempt ended
//   - the attempt's own timeout, and the publish
//
// Two callers of one call ID share its attempts and have a place each in the
// bulkhead. What is outer sees what is inner refuse: to an interceptor a call
// that was tried three times is one error.
//
// [Client.Resolve] asks what became of a call whose outcome is unknown. The question
// passes the same stages, but for the interceptors, to a queue of its own.
//
// A [Client] is made once per process and target broker, shared by all
// goroutines, and closed at the end. [Call] is the typed way to call, the
// method Call the one in bytes.
package client
