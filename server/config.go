package server

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/store"
)

// Config configures a [Server]. Every zero field but Broker has a default;
// [New] copies it, so later changes have no effect.
type Config struct {
	// Broker says how to reach RabbitMQ. Required.
	Broker warren.Broker
	// Logger gets panics with their stacks, failures of handlers, and what
	// happens to connections. It is called on goroutines that others depend on, the
	// one that reads confirms from a connection among them: its handler must not block
	// for long, nor wait for this server. Default: slog.Default().
	Logger *slog.Logger
	// Interceptors wrap every handler, the first outermost, outside those of
	// the method.
	Interceptors []warren.Interceptor
	// MaxRequest and MaxReply bound bodies, in bytes. Default: 1 MiB; 1 to
	// 128 MiB.
	MaxRequest, MaxReply int
	// Store remembers calls, so that one which is delivered or made again is answered
	// with the reply that it had; see [Dedupe]. It is neither opened nor closed here:
	// close it after the server has stopped. Default: none.
	//
	// Any number of servers may serve a method with one shared store, such as a
	// database's. Each opens it for itself: the store that was opened is who owns a
	// call. While the store is away, methods without records are served, and calls of
	// the others are refused as unavailable/store_unavailable, or wait if they have
	// run; all is well again when it is back, without a restart.
	//
	// A store that is one process's alone (its Traits are not Shared) makes the server
	// hold an exclusive queue for each method, warren.owner.NAME: a second server of
	// the method waits until this one has gone. The broker keeps, for as long as there
	// are such methods, which store remembers each, in the declaration of the queue
	// warren.memory.NAME: a server with another durable store does not serve the
	// method, and Start fails; see Dedupe.Replaces.
	Store store.Store
	// Namespace keeps apart the records of services that share a store. Default: "".
	Namespace string
	// PersistentReplies asks the broker to write replies to disk, so that they
	// survive its restart. Default: false.
	PersistentReplies bool
}

// Method says how one method is served. Only Name has no default.
type Method struct {
	// Name is the method and the name of its queue; see warren.CheckMethod.
	Name string
	// Queue says how the queue is declared.
	Queue Queue
	// Concurrency is how many requests are handled at a time. Default: 64; 1 to
	// 10,000.
	Concurrency int
	// Prefetch is how many requests may be with this server and not yet
	// acknowledged. More than Concurrency hides the broker's latency; where
	// handlers are slow, less of it spreads the load better. With a store, what waits
	// for a record to be written is among it. Default: twice Concurrency, four times
	// with a store; from Concurrency to 65,535.
	Prefetch int
	// Dedupe says how calls are remembered; see [Dedupe]. Default: as AtLeastOnce if
	// Config.Store is set.
	Dedupe Dedupe
	// Admission refuses requests while too many wait; see [Admission]. Default: off.
	Admission Admission
	// KillSwitch stops consuming while the handler mostly fails on this server; see
	// [KillSwitch]. Default: off.
	KillSwitch KillSwitch
	// Codec decodes requests and encodes replies of typed handlers. Default:
	// warren.JSON.
	Codec warren.Codec
	// Interceptors wrap the handler, inside those of the server.
	Interceptors []warren.Interceptor
}

// QueueType is how the broker keeps a queue.
type QueueType = string

// The queue types.
const (
	// Quorum queues are replicated and durable; RabbitMQ's tutorials declare
	// theirs so. The default.
	Quorum QueueType = "quorum"
	// Classic queues live on one node, and are faster.
	Classic QueueType = "classic"
	// Existing queues are not declared: somebody else has, and the server fails
	// to start if not.
	Existing QueueType = "existing"
)

// Queue says how a method's queue is declared. A queue that exists with other
// arguments is used as it is, with one warning in the log.
type Queue struct {
	// Type is Quorum, Classic or Existing. Default: Quorum.
	Type QueueType
	// Transient keeps a classic queue from surviving a restart of the broker.
	Transient bool
	// Expires is how long the queue outlives its last server: callers then get
	// no_route at once instead of filling a queue that nobody reads. Default: 0,
	// for ever; 10 s to 30 days. RabbitMQ deletes what the queue holds.
	Expires time.Duration
}

const (
	defaultConcurrency = 64
	defaultBody        = 1 << 20
	mostBody           = 128 << 20
)

func (c Config) withDefaults() Config {
	c.Broker = c.Broker.WithDefaults()
	c.Interceptors = append([]warren.Interceptor(nil), c.Interceptors...)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.MaxRequest, c.MaxReply = cmp.Or(c.MaxRequest, defaultBody), cmp.Or(c.MaxReply, defaultBody)
	return c
}

func (c *Config) validate() error {
	return cmp.Or(
		c.Broker.Validate(),
		within("server.Config.MaxRequest", c.MaxRequest, 1, mostBody),
		within("server.Config.MaxReply", c.MaxReply, 1, mostBody),
	)
}

// stored reports whether calls of the method have records.
func (m *Method) stored(s store.Store) bool { return s != nil && m.Dedupe.Mode != NotDeduped }

func (m Method) withDefaults(s store.Store) Method {
	m.Interceptors = append([]warren.Interceptor(nil), m.Interceptors...)
	m.Queue.Type = cmp.Or(m.Queue.Type, Quorum)
	m.Concurrency = cmp.Or(m.Concurrency, defaultConcurrency)
	ahead := 2
	if m.stored(s) {
		ahead = 4
	}
	m.Prefetch = cmp.Or(m.Prefetch, min(ahead*m.Concurrency, 65535))
	m.Dedupe = m.Dedupe.withDefaults(m.stored(s))
	m.Admission = m.Admission.withDefaults()
	m.KillSwitch = m.KillSwitch.withDefaults()
	if m.Codec == nil {
		m.Codec = warren.JSON
	}
	return m
}

func (m *Method) validate() error {
	return cmp.Or(
		warren.CheckMethod(m.Name),
		m.Queue.validate(m.field),
		within(m.field("Concurrency"), m.Concurrency, 1, 10_000),
		within(m.field("Prefetch"), m.Prefetch, m.Concurrency, 65535),
		m.Dedupe.validate(m.field),
		m.Admission.validate(m.field),
		m.KillSwitch.validate(m.field, m.Queue.Expires),
	)
}

// field is what an error calls a field of the method.
func (m *Method) field(name string) string { return "server.Method." + name + " of " + m.Name }

func (q *Queue) validate(field func(string) string) error {
	switch {
	case q.Type != Quorum && q.Type != Classic && q.Type != Existing:
		return fmt.Errorf("warren: %s is %.40q; it must be quorum, classic or existing", field("Queue.Type"), q.Type)
	case q.Transient && q.Type != Classic:
		return fmt.Errorf("warren: %s: only classic queues can be transient", field("Queue.Transient"))
	case q.Expires == 0:
		return nil
	case q.Type == Existing:
		return fmt.Errorf("warren: %s: an existing queue is used as it is", field("Queue.Expires"))
	default:
		return within(field("Queue.Expires"), q.Expires, 10*time.Second, 30*24*time.Hour)
	}
}

func (m *Method) queue() broker.Queue {
	return broker.Queue{
		Name: m.Name, Type: broker.QueueType(m.Queue.Type), Durable: !m.Queue.Transient, Expires: m.Queue.Expires,
	}
}

func within[T int | time.Duration](field string, value, least, most T) error {
	if value < least || value > most {
		return fmt.Errorf("warren: %s is %v; it must be from %v to %v", field, value, least, most)
	}
	return nil
}
