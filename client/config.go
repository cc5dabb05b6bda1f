package client

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability"
)

// Config configures a [Client]. Every zero field but Broker has a default;
// [New] copies it, so later changes have no effect.
type Config struct {
	// Broker says how to reach RabbitMQ. Required.
	Broker warren.Broker
	// Logger gets what happens to connections, and what cannot be read of replies. It
	// is called on goroutines that others depend on, the one that reads replies among
	// them: its handler must not block for long, nor call this client. Default:
	// slog.Default().
	Logger *slog.Logger
	// Codec encodes requests and decodes replies of typed calls. Default:
	// warren.JSON.
	Codec warren.Codec
	// Interceptors wrap every call, the first outermost.
	Interceptors []warren.Interceptor
	// Caller is sent with each request as AMQP app_id: a name for the server's
	// logs, which proves nothing. Default: none. At most 128 bytes.
	Caller string
	// UserID is sent with each request as AMQP user_id, which the broker checks: it
	// must be the user as whom Broker connects, or calls end as
	// permission_denied/not_permitted. Servers know callers apart by it if a method asks for that. Default: none. At
	// most 255 bytes.
	UserID string

	// Policies say for each method how long calls take, when they are repeated and
	// when they are refused. Default: every method has the defaults of
	// [reliability.Policy]. [Client.SetPolicies] replaces them later.
	Policies reliability.Rules
	// OnBreaker, if set, is told when a method's circuit breaker changes its state,
	// outside all locks, by the goroutine of a call or of a connection: it must not
	// block.
	OnBreaker func(reliability.Change)
	// NoServer is what happens to calls of a method that nobody serves.
	// Default: FailFast.
	NoServer NoServer

	// MaxPending bounds the calls in flight; one more fails at once as
	// resource_exhausted/queue_full. Default: 10,000; 1 to 1,000,000.
	MaxPending int
	// MaxPendingBytes bounds the bodies of the calls in flight, in bytes.
	// Default: 64 MiB; at least 1.
	MaxPendingBytes int
	// MaxRequest and MaxReply bound bodies, in bytes. Default: 1 MiB; 1 to
	// 128 MiB. RabbitMQ 4 refuses messages over 16 MiB unless told otherwise:
	// such calls end as resource_exhausted/request_too_large or reply_too_large.
	MaxRequest, MaxReply int

	// Persistent asks the broker to write requests to disk in classic queues,
	// so that they survive its restart. Quorum queues always do, and [Client.Notify]
	// always asks. Default: false, because the caller of a call waits for it
	// and learns of the loss.
	Persistent bool
	// ReplyQueue says where replies go.
	ReplyQueue ReplyQueue
	// RepliesOneByOne has servers send each reply in a message of its own. Default: false,
	// and small ones that a server has in line for this client at the same moment come
	// together, up to 16 of 4 KiB each, which costs all sides less; none waits for
	// another. Their bodies share memory: who keeps one keeps up to 32 KiB.
	RepliesOneByOne bool
}

// ReplyQueue says where a client's replies go: by default to a durable classic
// queue with a random name, which keeps replies while the client reconnects and
// which the client deletes when it is closed.
type ReplyQueue struct {
	// Exclusive uses a queue that dies with its connection, where a queue that
	// outlives it is not wanted: every call in flight then ends as
	// unavailable/reply_queue_lost when the client reconnects, or is published
	// again if it may be.
	Exclusive bool
	// Expires is how long the broker keeps the queue after the client has gone
	// without closing. Default: 10 min; 10 s to 24 h. It must be longer than a
	// client may be cut off and still want its replies.
	Expires time.Duration
}

// NoServer is what happens to calls of a method that nobody serves.
type NoServer uint8

const (
	// FailFast ends the call at once as unavailable/no_server, with the outcome
	// NotExecuted, if the method's queue has no consumer. Whether it has is
	// asked before the first call and then in the background, at most once a
	// second while the method is called: a server that died less than a second
	// ago may be taken for alive, and the call then waits.
	FailFast NoServer = iota
	// Wait lets the call wait in the queue for a server until its deadline. A
	// method whose queue does not exist still fails at once.
	Wait
)

func (c Config) withDefaults() Config {
	c.Broker = c.Broker.WithDefaults()
	c.Interceptors = append([]warren.Interceptor(nil), c.Interceptors...)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Codec == nil {
		c.Codec = warren.JSON
	}
	setDefault(&c.MaxPending, 10_000)
	setDefault(&c.MaxPendingBytes, 64<<20)
	setDefault(&c.MaxRequest, 1<<20)
	setDefault(&c.MaxReply, 1<<20)
	setDefault(&c.ReplyQueue.Expires, 10*time.Minute)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// breakerChanged is OnBreaker as the policies' mechanics call it.
func (c *Config) breakerChanged() func(policy.Change) {
	if c.OnBreaker == nil {
		return nil
	}
	return func(change policy.Change) { c.OnBreaker(reliability.Change(change)) }
}

func (c *Config) validate() error {
	if err := c.Broker.Validate(); err != nil {
		return err
	}
	if len(c.Caller) > 128 {
		return fmt.Errorf("warren: client.Config.Caller has %d bytes; at most 128 are allowed", len(c.Caller))
	}
	if len(c.UserID) > 255 {
		return fmt.Errorf("warren: client.Config.UserID has %d bytes; at most 255 are allowed", len(c.UserID))
	}
	if c.NoServer > Wait {
		return errors.New("warren: client.Config.NoServer must be FailFast or Wait")
	}
	return cmp.Or(
		within("MaxPending", c.MaxPending, 1, 1_000_000),
		within("MaxPendingBytes", c.MaxPendingBytes, 1, math.MaxInt),
		within("MaxRequest", c.MaxRequest, 1, 128<<20),
		within("MaxReply", c.MaxReply, 1, 128<<20),
		within("ReplyQueue.Expires", c.ReplyQueue.Expires, 10*time.Second, 24*time.Hour),
	)
}

func within[T int | time.Duration](field string, value, least, most T) error {
	if value < least || value > most {
		return fmt.Errorf("warren: client.Config.%s is %v; it must be from %v to %v", field, value, least, most)
	}
	return nil
}
