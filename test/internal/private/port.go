package private

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	// Below Linux's range of ports for outgoing connections, which starts at
	// 32768: a client of this very test could otherwise be given a server's port
	// between choosing and binding it, or while the server is down.
	lowestPort  = 20000
	highestPort = 32000
)

// Port is a loopback TCP port that no other private server will take until it is
// released, in whatever process.
type Port struct {
	number int
	lock   net.Listener
}

// ReservePort finds a free port and locks it.
//
// The lock is an abstract Unix socket: it has the scope of the ports that it
// guards (the network namespace), and the kernel drops it when its process
// dies. The server binds the port a while later; programs that do not know of the
// lock can still take it in between, hence whoever starts a server tries again.
func ReservePort() (*Port, error) {
	for range 500 {
		number := lowestPort + rand.IntN(highestPort-lowestPort)
		if number == 25672 { // what a RabbitMQ of the machine's own uses
			continue
		}
		lock, err := net.Listen("unix", "@warren-port-"+strconv.Itoa(number))
		if err != nil {
			continue
		}
		probe, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
		if err != nil {
			_ = lock.Close()
			continue
		}
		_ = probe.Close()
		return &Port{number: number, lock: lock}, nil
	}
	return nil, fmt.Errorf("no free loopback port between %d and %d", lowestPort, highestPort)
}

// Release lets others take the port. The method accepts nil: a port that was never
// reserved.
func (p *Port) Release() {
	if p != nil {
		_ = p.lock.Close()
	}
}

// String is the port's number.
func (p *Port) String() string { return strconv.Itoa(p.number) }

// Addr is the loopback host and the port.
func (p *Port) Addr() string { return net.JoinHostPort("127.0.0.1", p.String()) }
