// Package netns makes real network partitions: two network namespaces of their own
// with a wire between them that can be cut in either direction, so that packets
// vanish and TCP retransmits, as between machines.
//
//	pair, err := netns.New()
//	defer pair.Close()
//	listener, err := pair.B.Listen("tcp", pair.B.Addr()+":0")
//	conn, err := pair.A.Dial(ctx, "tcp", listener.Addr().String())
//	pair.Partition(netns.Both)
//	pair.Heal(netns.Both)
//
// A socket belongs for life to the namespace in which it was made, so one process
// can hold sockets of both; a process that is started within [Namespace.Do] lives
// in the namespace altogether (test/rabbit's Start, or test/chaos/proc with
// Options.Enter). A broker that stays outside is put behind the wire by a
// proxy.Proxy that listens in B, and a client in front of it by
// warren.Broker.Dial = pair.A.Dial.
//
// The namespaces have no names, no files and no link to the host: nothing of the
// host's interfaces and routes is touched or can be reached from inside, and the
// kernel removes them with the last process and socket in them, so nothing is left
// of a test that was killed.
//
// It takes Linux, root (CAP_SYS_ADMIN and CAP_NET_ADMIN) and iproute2; New says
// which is missing.
package netns
