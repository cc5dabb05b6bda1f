// Package proxy is a TCP proxy inside a test, between clients and a broker, that
// breaks connections in the ways in which networks do: it cuts them with RST or
// FIN, stalls them, closes one side without telling the other, loses one
// direction, slices, delays and narrows the flow.
//
//	p, err := proxy.New(node.Addr(), proxy.Options{})
//	defer p.Close()
//	c, err := client.New(client.Config{Broker: warren.Broker{URLs: []string{p.URL(node.URL())}}})
//	...
//	p.Cut(proxy.RST)
//
// A client needs no hook: it is given the proxy's address instead of the broker's.
// Faults apply to one connection ([Conn]) or to all of them, present and to come
// ([Proxy]); [Proxy.Run] plays a script of them, which [Random] makes from a seed.
//
// # Why not toxiproxy
//
// As a library it brings sixteen modules with it, a metrics client and two HTTP
// packages among them, into the go.mod of everyone who imports Warren. It puts a
// toxic on all connections of a proxy or none, cannot close one side of a
// connection and keep the other, ends a connection whose toxics are removed, and
// has no bound on what a stalled connection holds. What is needed here is the
// few hundred lines of this package.
package proxy
