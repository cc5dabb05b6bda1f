// Package gateway is an HTTP front end: an [http.Handler] that turns requests into
// calls of one client, and their replies and errors back. A [Route] maps a method
// and a path, such as GET /orders/{id}, to a Warren method, such as orders.getOne.
//
// Path and query parameters, the headers that a route lists, and what the hook
// Config.Authenticate says of the caller become AMQP headers whose names begin with
// "http."; content type, content encoding and body become the message's own. A reply
// may choose its status by the header http.status and set the headers that the route
// lists by http.header.NAME. Errors are problem details (RFC 9457) that say what a
// [warren.Error] says, without what belongs to the servers alone. docs/gateway.md has
// the whole mapping as tables.
//
// Requests with an Idempotency-Key are calls whose ID is made of the caller's subject,
// the route and the key, with a secret: made again, they are the same call, and a
// server with a store replays its reply.
//
// [New] makes the handler, [NewServer] an [http.Server] with bounds on time and size
// for it, and [Serve] runs both until a context ends and then drains them. Package
// gatewayfile reads routes from files.
package gateway
