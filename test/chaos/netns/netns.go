package netns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// ErrNotPermitted is returned (wrapped) by New if the machine does not let this
// process make namespaces, or lacks the tool. Its text says what is needed.
var ErrNotPermitted = errors.New("netns: network namespaces need Linux, root (CAP_SYS_ADMIN and CAP_NET_ADMIN) " +
	"and the program ip: as root `apt-get install -y --no-install-recommends iproute2`")

// Direction is a way along the wire.
type Direction int

// The directions.
const (
	AToB Direction = iota
	BToA
	Both
)

// Addresses of the two ends. They are seen in the namespaces alone; RFC 5737 keeps
// the network for documentation.
const (
	addrA, macA = "192.0.2.1", "02:00:00:00:00:0a"
	addrB, macB = "192.0.2.2", "02:00:00:00:00:0b"
	// macNobody is no interface's: what is sent to it crosses the wire and is ignored.
	macNobody = "02:00:00:00:00:ff"
	link      = "wire"
)

// Pair is two namespaces and the wire between them. All methods are safe for
// concurrent use.
type Pair struct {
	// A and B are alike. Each has a loopback interface and its end of the wire.
	A, B *Namespace

	mu     sync.Mutex
	closed bool
}

// Namespace is one network namespace. All methods are safe for concurrent use.
type Namespace struct {
	addr string
	file *os.File // keeps it in being
}

// New makes two namespaces that reach each other, and nothing else. Close removes
// them.
func New() (*Pair, error) {
	a, err := newNamespace(addrA)
	if err != nil {
		return nil, err
	}
	b, err := newNamespace(addrB)
	if err != nil {
		return nil, errors.Join(err, a.file.Close())
	}
	p := &Pair{A: a, B: b}
	if err := p.connect(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// connect lays the wire. Neighbours are set by hand: a partition is then one
// address that is wrong, and no ARP can mend it.
func (p *Pair) connect() error {
	return cmp.Or(
		p.A.ip("link", "add", link, "address", macA, "type", "veth",
			"peer", "name", link, "address", macB, "netns", p.B.path()),
		p.A.up(),
		p.B.up(),
		p.Heal(Both),
	)
}

// Partition has every packet in the direction vanish from now on. Neither side is
// told: a send succeeds and nothing comes back. It is legal more than once.
func (p *Pair) Partition(direction Direction) error {
	return p.aim(direction, macNobody, macNobody)
}

// Heal lets packets through again. TCP connections go on when they next
// retransmit, which after a partition of a minute may take as long again.
func (p *Pair) Heal(direction Direction) error { return p.aim(direction, macB, macA) }

// aim sets the hardware addresses that A and B send to.
func (p *Pair) aim(direction Direction, toB, toA string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("netns: the pair is closed")
	}
	var err error
	if direction != BToA {
		err = p.A.ip("neighbour", "replace", addrB, "lladdr", toB, "dev", link, "nud", "permanent")
	}
	if direction != AToB {
		err = cmp.Or(err, p.B.ip("neighbour", "replace", addrA, "lladdr", toA, "dev", link, "nud", "permanent"))
	}
	return err
}

// Close lets go of the namespaces. The kernel removes each when the last socket
// and process in it has gone, and the wire with it. It is legal more than once.
func (p *Pair) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return errors.Join(p.A.file.Close(), p.B.file.Close())
}

// Addr is the IP address of the namespace's end of the wire.
func (n *Namespace) Addr() string { return n.addr }

// Dial connects from within the namespace to an IP address and port; names are
// not looked up. It fits warren.Broker.Dial.
func (n *Namespace) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens within the namespace on an IP address and port.
func (n *Namespace) Listen(network, address string) (listener net.Listener, err error) {
	err = n.Do(func() error {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

// ip runs the program ip within the namespace.
func (n *Namespace) ip(args ...string) error {
	return n.Do(func() error {
		if out, err := ipCommand(args...).CombinedOutput(); err != nil {
			return fmt.Errorf("netns: ip %v: %w: %s", args, err, out)
		}
		return nil
	})
}

func (n *Namespace) up() error {
	return cmp.Or(
		n.ip("link", "set", "lo", "up"),
		n.ip("address", "add", n.addr+"/24", "dev", link),
		n.ip("link", "set", link, "up"),
	)
}

// path names the namespace for another process of this user, as long as this
// process holds it.
func (n *Namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }
