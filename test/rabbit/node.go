package rabbit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/internal/private"
	"github.com/warren-rpc/warren/test/patience"
)

// ErrNotInstalled is returned (wrapped) by Start if the machine has no
// rabbitmq-server. Its text names the command that gets one.
var ErrNotInstalled = errors.New("rabbit: RabbitMQ is not installed: run `make deps`, or as root " +
	"`apt-get update && apt-get install -y --no-install-recommends rabbitmq-server`")

// Options configures a node. The zero value is a plain node of the machine's
// own RabbitMQ.
type Options struct {
	// Config holds extra lines of rabbitmq.conf, which win over the package's own:
	// for example "consumer_timeout = 5000". Lines that move the listener make
	// Start fail, since it waits on the port that it chose.
	Config []string

	// Plugins are the plugins that run besides those that they depend on.
	// ManagementPlugin listens on a loopback port of the node's own, which
	// ManagementURL tells; others that listen need a port in Config. Default: none.
	Plugins []string

	// Server is the path of a rabbitmq-server script. It must keep its environment
	// and working directory, as Debian's in /usr/lib/rabbitmq/bin does and the one
	// in /usr/sbin does not.
	// Default: the first that is found in the usual places.
	Server string

	// Schedulers is how many threads run the broker's Erlang processes: enough of
	// them and it uses every core, but starts slower and larger. Default: 2.
	Schedulers int

	// Logf receives what the node's keeper does: starts with ports and duration,
	// kills, ends. It is called from the goroutine that calls the method.
	// Default: nothing is reported.
	Logf func(format string, args ...any)

	// Keep leaves the node's folder (log, data) behind when the node is closed, and
	// Logf is told where. The processes are ended all the same.
	Keep bool
}

// Node is a RabbitMQ node that belongs to this process. All methods are safe
// for concurrent use. Stop and Restart take turns; Kill and Close interrupt them.
//
// Unless said otherwise, a method that takes a context gives up with the
// context's error when it ends, and after 30 s at the latest: a frozen node
// answers nothing.
type Node struct {
	options Options
	server  string // the script that starts the broker
	name    string // Erlang node name
	dir     string

	amqp, dist *private.Port
	management *private.Port // nil without the plugin
	family     *family

	watchdog *private.Watchdog
	control  *control

	// life ends when Close is called.
	life    context.Context
	endLife context.CancelFunc
	closing sync.Once
	closed  error

	// turn is held by what starts the broker, and by those that must not meet it.
	turn sync.Mutex

	mu   sync.Mutex
	beam *private.Process // the last one started, running or not
}

// bootTimeout bounds a boot whose context has no deadline. An idle machine
// needs 3 to 8 seconds.
var bootTimeout = patience.Times(3 * time.Minute)

// portAttempts is how often Start tries, each time on other ports, if another
// program took one of the node's ports before the node did.
const portAttempts = 4

// Start boots a node and returns when it accepts AMQP connections. The context
// bounds the boot only, not the life of the node; without a deadline the bound
// is three minutes.
//
// The error of a node that ended, or did not come up in time, carries the end
// of its log; errors.Is finds the context's error and ErrNotInstalled in it.
// After an error nothing is left behind, neither processes nor, without Keep, the
// folder.
func Start(ctx context.Context, options Options) (*Node, error) {
	if !private.Supported {
		return nil, fmt.Errorf("rabbit: private nodes need Linux: %w", errors.ErrUnsupported)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("rabbit: start: %w", err)
	}
	server, err := findServer(options.Server)
	if err != nil {
		return nil, err
	}
	return startNode(ctx, server, options, nil)
}

// startNode starts a node of the family, or with nil one that is alone.
func startNode(ctx context.Context, server string, options Options, kin *family) (*Node, error) {
	for attempt := 1; ; attempt++ {
		n := newNode(server, options)
		if kin != nil {
			n.family = kin
		}
		err := n.start(ctx)
		if err == nil {
			return n, nil
		}
		if closeErr := n.Close(); closeErr != nil {
			err = errors.Join(err, closeErr)
		}
		if attempt == portAttempts || !errors.Is(err, errPortTaken) {
			return nil, err
		}
		n.logf("rabbit: %s lost a port to another program, trying others", n.name)
	}
}

func newNode(server string, options Options) *Node {
	n := &Node{options: options, server: server, family: newFamily()}
	n.life, n.endLife = context.WithCancel(context.Background())
	return n
}

func (n *Node) start(ctx context.Context) error {
	if err := n.prepare(); err != nil {
		return err
	}
	return n.boot(ctx)
}

// URL is the address of the default virtual host with guest's credentials. It
// stays the same for the life of the node, restarts included.
func (n *Node) URL() string { return "amqp://guest:guest@" + n.Addr() + "/" }

// Addr is the loopback host and port that the node accepts AMQP on.
func (n *Node) Addr() string { return n.amqp.Addr() }

// ManagementPlugin is RabbitMQ's plugin for Options.Plugins that serves the
// management API.
const ManagementPlugin = "rabbitmq_management"

// ManagementURL is the address of the management API with guest's credentials. It
// stays the same for the life of the node, and is empty if ManagementPlugin is not
// among the options' plugins.
func (n *Node) ManagementURL() string {
	if n.management == nil {
		return ""
	}
	return "http://guest:guest@" + n.management.Addr() + "/"
}

// PID is the process ID of the broker's Erlang VM, or 0 while it is down.
func (n *Node) PID() int {
	if p := n.process(); p.Running() {
		return p.PID()
	}
	return 0
}

// CPU is the user and system time that the broker's Erlang VM has used since it
// was last started, in steps of 10 ms. Once the VM has ended it stays at the
// total.
func (n *Node) CPU() time.Duration { return n.process().CPU() }

// Log returns the broker's log since the node was first started, as far as it
// is written. It is empty once the node is closed.
func (n *Node) Log() string {
	text, _ := os.ReadFile(n.logPath())
	return string(text)
}

// Close ends the node and everything that belongs to it without grace, removes
// its folder unless Keep is set, and returns when both are gone. It is legal in
// every state and more than once; later calls return what the first one did.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	n.endLife()
	n.turn.Lock()
	defer n.turn.Unlock()
	if n.control != nil {
		n.control.reset()
	}
	var err error
	if n.watchdog != nil {
		err = n.watchdog.Finish()
	}
	// The watchdog killed them; this reaps them.
	n.process().Wait()
	n.family.leave(n)
	for _, p := range []*private.Port{n.amqp, n.dist, n.management} {
		if p != nil {
			p.Release()
		}
	}
	if n.options.Keep {
		n.logf("rabbit: %s closed, its folder stays: %s", n.name, n.dir)
		return err
	}
	if n.dir != "" {
		err = errors.Join(err, os.RemoveAll(n.dir))
	}
	n.logf("rabbit: %s closed", n.name)
	return err
}

func (n *Node) process() *private.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.beam
}

func (n *Node) schedulers() int {
	if n.options.Schedulers > 0 {
		return n.options.Schedulers
	}
	return 2
}

func (n *Node) logf(format string, args ...any) {
	if n.options.Logf != nil {
		n.options.Logf(format, args...)
	}
}

func (n *Node) logPath() string { return filepath.Join(n.dir, "rabbit.log") }

// logTail is the end of the log, for errors.
func (n *Node) logTail() string {
	const most = 4 << 10
	text := strings.TrimSpace(n.Log())
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	if text == "" {
		return "(the node logged nothing)"
	}
	return text
}
