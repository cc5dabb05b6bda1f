package rabbit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	// Below Linux's range of ports for outgoing connections, which starts at
	// 32768: a client of this very test could otherwise be given a node's port
	// between choosing and binding it, or while the node is down.
	lowestPort  = 20000
	highestPort = 32000
)

// port is a loopback TCP port that no other node of this package will take
// until it is released, in whatever process.
type port struct {
	number int
	lock   net.Listener
}

// reservePort finds a free port and locks it.
//
// The lock is an abstract Unix socket: it has the scope of the ports that it
// guards (the network namespace), and the kernel drops it when its process
// dies. The node binds the port seconds later; programs that do not know of the
// lock can still take it in between, hence the retries in Start.
func reservePort() (*port, error) {
	for range 500 {
		number := lowestPort + rand.IntN(highestPort-lowestPort)
		if number == 25672 { // what a RabbitMQ of the machine's own uses
			continue
		}
		lock, err := net.Listen("unix", "@warren-rabbit-port-"+strconv.Itoa(number))
		if err != nil {
			continue
		}
		probe, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
		if err != nil {
			_ = lock.Close()
			continue
		}
		_ = probe.Close()
		return &port{number: number, lock: lock}, nil
	}
	return nil, fmt.Errorf("rabbit: no free loopback port between %d and %d", lowestPort, highestPort)
}

func (p *port) release() { _ = p.lock.Close() }

func (p *port) String() string { return strconv.Itoa(p.number) }

func (p *port) addr() string { return net.JoinHostPort("127.0.0.1", p.String()) }
