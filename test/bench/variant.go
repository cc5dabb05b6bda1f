package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// variant is one way to make calls over the broker. Both sides run in worker
// processes; a worker uses one side of one variant, once.
type variant struct {
	name   string
	quorum bool // the requests' queue is a quorum queue
	// database is the name of the one that it needs, if any.
	database string

	// serve declares the queue, calls ready once requests are consumed, and echoes
	// until the context ends, which is no error. It need not delete the queue.
	serve func(ctx context.Context, s spec, ready func()) error

	// connect returns a caller for the queue, which exists and is served.
	connect func(ctx context.Context, s spec) (caller, error)
}

// caller is the client's side of a variant.
type caller interface {
	// call sends the body and returns what came back for it. It must give up when
	// the context ends. It is called by as many goroutines at a time as calls are
	// kept in flight, and may not keep the body once it has returned.
	call(ctx context.Context, body []byte) ([]byte, error)

	// close is called once, when no call is open any more.
	close() error
}

// variants is in the order of the report.
var variants = []variant{
	warrenClassic,
	warrenClassicOneByOne,
	warrenQuorum,
	warrenQuorumOneByOne,
	warrenClassicStore,
	rawTutorial,
	rawTutorialQuorum,
	rawFast,
	rawGuarantees,
	rawGuaranteesQuorum,
	rawBest,
	rawBestQuorum,
}

// baseline is what the variant is held to by default: the best by hand on the same
// type of queue.
func (v variant) baseline() string {
	if v.quorum {
		return rawBestQuorum.name
	}
	return rawBest.name
}

// withDatabases returns all variants that there are with these databases.
func withDatabases(databases []Database) []variant {
	all := slices.Clone(variants)
	for _, d := range databases {
		all = append(all, d.variants()...)
	}
	return all
}

func lookUp(name string, databases []Database) (variant, bool) {
	for _, v := range withDatabases(databases) {
		if v.name == name {
			return v, true
		}
	}
	return variant{}, false
}

// spec tells a worker what to do, whatever its variant and side.
type spec struct {
	URL   string `json:"url"`
	Queue string `json:"queue"` // also fit to be a method's name
	// Database is the address of the one that the variant needs.
	Database string `json:"database,omitempty"`
	workload
	WarmUp   time.Duration `json:"warm_up"`
	Duration time.Duration `json:"duration"`
	Profile  string        `json:"profile,omitempty"` // path of profiles, less their endings
}

const (
	// prefetch is what every variant but the tutorial's lets a server hold; more
	// gains nothing.
	prefetch = 256

	// handlers is how many requests the servers by hand work on at a time, so that
	// a slow one would not hold up the rest. It is Warren's default.
	handlers = 64

	// queueExpires is how long a queue may be unused before the broker deletes it,
	// in case that a run is killed before it can.
	queueExpires = 10 * time.Minute

	// dialTimeout bounds a connection attempt, the library's handshake included.
	dialTimeout = 30 * time.Second
)

// dial connects as the library does by default, less its recovery.
func dial(url string) (*amqp.Connection, error) {
	return dialOver(url, func(conn net.Conn) net.Conn { return conn })
}

// dialOver connects over what wrap makes of the counted connection to the broker.
func dialOver(url string, wrap func(net.Conn) net.Conn) (*amqp.Connection, error) {
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName("warren bench")
	return amqp.DialConfig(url, amqp.Config{
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
			defer cancel()
			conn, err := dialCounted(ctx, network, address)
			if err != nil {
				return nil, err
			}
			// The library lifts it once the connection is open.
			if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return wrap(conn), nil
		},
	})
}

// dialChannel connects and opens a channel. Closing the connection closes both.
func dialChannel(url string) (*amqp.Connection, *amqp.Channel, error) {
	return openChannel(dial(url))
}

// dialGatheringChannel does the same over a gatheringConn.
func dialGatheringChannel(url string) (*amqp.Connection, *amqp.Channel, error) {
	return openChannel(dialOver(url, func(conn net.Conn) net.Conn { return newGatheringConn(conn) }))
}

func openChannel(conn *amqp.Connection, err error) (*amqp.Connection, *amqp.Channel, error) {
	if err != nil {
		return nil, nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, ch, nil
}

// declareQueue declares a durable queue of the given type, which expires.
func declareQueue(ch *amqp.Channel, queue, queueType string) error {
	_, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{
		amqp.QueueTypeArg: queueType,
		amqp.QueueTTLArg:  queueExpires.Milliseconds(),
	})
	return err
}

// deleteQueues deletes what any variant may have left on the broker for a queue:
// Warren's servers keep two more beside it. Deleting what is not there is legal.
func deleteQueues(conn *amqp.Connection, queue string) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	for _, name := range []string{queue, queue + ".dead", "warren.control." + queue} {
		if _, err := ch.QueueDelete(name, false, false, false); err != nil {
			return fmt.Errorf("delete queue %s: %w", name, err)
		}
	}
	return nil
}
