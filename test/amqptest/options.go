package amqptest

import (
	"crypto/tls"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/amqptest/internal/vhost"
)

// Options are the settings of a Broker. The zero value is complete: it listens
// on a free port of the loopback interface, knows the user guest with the
// password guest, and has the virtual host "/".
type Options struct {
	// Listen is the TCP address to listen on. Default: "127.0.0.1:0". With "none"
	// the broker has no socket and is reached through Broker.Dial alone.
	Listen string
	// TLS makes all connections TLS, those of Broker.Dial included. With client
	// certificates that are verified, clients may log in by EXTERNAL: the common
	// name of the certificate is the user.
	TLS *tls.Config

	// Users are by their names. Default: guest, password guest, may do everything.
	// With Users set there is no guest unless it is among them.
	Users map[string]User
	// VHosts are the virtual hosts to begin with. Default: "/".
	VHosts []string

	// FrameMax is the largest frame offered to clients, in bytes. Default: 131072;
	// at least 4096 and at most 16 MiB.
	FrameMax uint32
	// ChannelMax is how many channels a connection may have open. Default: 2047.
	ChannelMax uint16
	// Heartbeat is the interval offered to clients, who choose. It is rounded to
	// seconds. Default: 60 s. Negative offers none.
	Heartbeat time.Duration
	// HandshakeTimeout bounds the time from accepting a connection to its
	// connection.open, TLS included. Default: 10 s.
	HandshakeTimeout time.Duration
	// MaxConnections bounds the open connections; more are closed as they come.
	// Default: 4096.
	MaxConnections int
	// MaxMessageSize bounds bodies, in bytes. Larger ones close the channel with
	// 406, before they are read. Default: 128 MiB, RabbitMQ 3.10's.
	MaxMessageSize int64
	// MaxQueues bounds the queues of each virtual host; to declare one more is
	// refused with 406, as by RabbitMQ's limit max-queues. Default: no bound.
	MaxQueues int
	// DenyTransient refuses queues that are neither durable nor exclusive, as
	// RabbitMQ 4 does where they are not permitted: it ends the connection with
	// 541.
	DenyTransient bool
	// ConsumerTimeout is how long a delivery may go without an acknowledgement, from
	// when it was sent. Its channel is closed with 406 after that, at the next look,
	// of which there are ten in that time. Default: none; RabbitMQ's is 30 min, looked
	// at each minute.
	ConsumerTimeout time.Duration
	// MemoryLimit bounds the messages that are held or being received, in bytes
	// for all virtual hosts together. Above it publishing connections are blocked
	// until there is less, as by RabbitMQ's memory alarm. What was received
	// already is kept, so a little more may be held: at most about 1 MiB and a
	// message per connection. Default: 256 MiB.
	MemoryLimit int64

	// Faults are rules that are in force from the start, as if injected then.
	Faults []Rule
	// Plan, if it is set, draws further rules, see Draw. If the test fails New logs
	// the seed, the rules and the command that runs the test with them again.
	Plan *Plan
	// Seed is what they are drawn from. Default: the number in the environment's
	// AMQPTEST_SEED, or else a random one. A seed without a plan draws the zero
	// Plan's.
	Seed uint64
	// RecordLimit bounds the events that are kept for Broker.Events. Default:
	// 10,000. Negative keeps none.
	RecordLimit int
	// RecordBytes bounds the memory that the events keep from being freed, message
	// bodies in the first place. The oldest go first. Default: 16 MiB.
	RecordBytes int64

	// Logf is told what a broker's log tells: connections that failed and why.
	// Default: New shows it if the test fails, Start drops it. It may be called by
	// several goroutines at once.
	Logf func(format string, args ...any)
}

// User is who may log in.
type User struct {
	Password string
	// VHosts are those that the user may enter. Nil: all.
	VHosts []string
	// Configure, Write and Read are regular expressions as in RabbitMQ, unanchored
	// and on the names of queues and exchanges: what the user may declare and
	// delete, publish and bind to, consume and bind from. An empty one allows
	// nothing, as in RabbitMQ; but if all three are empty the user may do
	// everything.
	Configure, Write, Read string
}

// noListener is the Listen of a broker without a socket.
const noListener = "none"

const (
	maxFrame   = 16 << 20
	maxSeconds = math.MaxUint16
)

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Listen, "127.0.0.1:0")
	setDefault(&o.FrameMax, 128<<10)
	setDefault(&o.ChannelMax, 2047)
	setDefault(&o.Heartbeat, time.Minute)
	setDefault(&o.HandshakeTimeout, 10*time.Second)
	setDefault(&o.MaxConnections, 4096)
	setDefault(&o.MaxMessageSize, 128<<20)
	setDefault(&o.MemoryLimit, 256<<20)
	if o.Users == nil {
		o.Users = map[string]User{"guest": {Password: "guest"}}
	}
	if o.VHosts == nil {
		o.VHosts = []string{"/"}
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	switch {
	case o.FrameMax < codec.MinFrameSize || o.FrameMax > maxFrame:
		return o, fmt.Errorf("amqptest: FrameMax is %d; it must be %d to %d", o.FrameMax, codec.MinFrameSize, maxFrame)
	case o.Heartbeat > maxSeconds*time.Second:
		return o, fmt.Errorf("amqptest: Heartbeat is %v; it must be %d s at most", o.Heartbeat, maxSeconds)
	case o.HandshakeTimeout < 0, o.MaxConnections < 0, o.MaxMessageSize < 0, o.MaxQueues < 0, o.ConsumerTimeout < 0,
		o.MemoryLimit < 0, o.RecordBytes < 0:
		return o, fmt.Errorf("amqptest: HandshakeTimeout, MaxConnections, MaxMessageSize, MaxQueues, ConsumerTimeout, MemoryLimit and " +
			"RecordBytes must not be negative")
	}
	return o, nil
}

// heartbeat is what is offered, in seconds.
func (o Options) heartbeat() uint16 {
	if o.Heartbeat < 0 {
		return 0
	}
	return uint16(max(1, o.Heartbeat.Round(time.Second)/time.Second))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// account is a User as the broker keeps it.
type account struct {
	User
	rights vhost.User
}

func newAccount(name string, u User) (*account, error) {
	a := &account{User: u, rights: vhost.User{Name: name}}
	a.VHosts = slices.Clone(u.VHosts)
	if u.Configure == "" && u.Write == "" && u.Read == "" {
		return a, nil
	}
	for _, p := range []struct {
		text string
		to   **regexp.Regexp
	}{{u.Configure, &a.rights.Configure}, {u.Write, &a.rights.Write}, {u.Read, &a.rights.Read}} {
		if p.text == "" {
			p.text = `[^\s\S]` // matches nothing
		}
		expression, err := regexp.Compile(p.text)
		if err != nil {
			return nil, fmt.Errorf("amqptest: permissions of user %q: %w", name, err)
		}
		*p.to = expression
	}
	return a, nil
}

func (a *account) mayEnter(vhostName string) bool {
	return a.VHosts == nil || slices.Contains(a.VHosts, vhostName)
}
