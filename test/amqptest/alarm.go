package amqptest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// alarms are what makes the broker block those who publish.
type alarms struct {
	current    atomic.Pointer[alarm] // nil: none
	unweighed  atomic.Int64          // bytes that have come since the last measure
	outgoing   atomic.Int64          // bytes that wait in all outboxes
	alarmMu    sync.Mutex
	byOperator string // why Block was called
	operator   bool
	memory     bool
	again      *time.Timer // measures again while memory is low
}

type alarm struct {
	reason string
	over   chan struct{}
}

// lowMemory is RabbitMQ's reason.
const lowMemory = "low on memory"

const (
	// measureEvery is how many bytes may come before memory is measured, at most.
	measureEvery = 1 << 20
	// measureAgain is how long a memory alarm stays at least.
	measureAgain = 20 * time.Millisecond
)

// Block raises an alarm, as RabbitMQ does when memory or disk is low: a
// connection that publishes from now on is told, if it understands
// connection.blocked, and nothing more is read from it until Unblock; the
// message that it published is taken then. All else is served on. Reason is what
// clients are told; "" stands for "low on memory". A second Block changes nothing
// until Unblock.
func (b *Broker) Block(reason string) {
	if reason == "" {
		reason = lowMemory
	}
	b.alarmMu.Lock()
	defer b.alarmMu.Unlock()
	if !b.operator {
		b.operator, b.byOperator = true, reason
		b.sound()
	}
}

// Unblock ends what Block began. If memory is low too, publishers stay blocked.
func (b *Broker) Unblock() {
	b.alarmMu.Lock()
	defer b.alarmMu.Unlock()
	b.operator = false
	b.sound()
}

// weigh notes that n bytes have come, and looks at the memory from time to time.
func (b *Broker) weigh(n int64) {
	if b.unweighed.Add(n) < min(measureEvery, b.options.MemoryLimit/16) {
		return
	}
	b.unweighed.Store(0)
	b.measure()
}

// measure raises or ends the memory alarm.
func (b *Broker) measure() {
	used := b.receiving.Load() + b.outgoing.Load()
	for _, h := range b.allHosts() {
		used += h.Bytes()
	}
	b.alarmMu.Lock()
	defer b.alarmMu.Unlock()
	select {
	case <-b.closed:
		return
	default:
	}
	b.memory = used > b.options.MemoryLimit
	b.sound()
	if !b.memory {
		return
	}
	if b.again == nil {
		b.again = time.AfterFunc(measureAgain, b.measure)
	} else {
		b.again.Reset(measureAgain)
	}
}

// silence stops the timer.
func (b *Broker) silence() {
	b.alarmMu.Lock()
	defer b.alarmMu.Unlock()
	if b.again != nil {
		b.again.Stop()
	}
}

// sound makes the current alarm what it must be, and tells those whom it concerns.
func (b *Broker) sound() {
	now, reason := b.current.Load(), lowMemory
	if !b.memory {
		reason = b.byOperator
	}
	switch wanted := b.memory || b.operator; {
	case wanted && now == nil:
		b.current.Store(&alarm{reason: reason, over: make(chan struct{})})
		b.logf("alarm: %s: publishers are blocked", reason)
	case !wanted && now != nil:
		b.current.Store(nil)
		close(now.over)
		b.logf("alarm over")
		for _, c := range b.allConns() {
			c.tellUnblocked()
		}
	}
}

// tellBlocked tells the client of an alarm, unless it is over.
func (c *conn) tellBlocked(a *alarm) {
	c.inform(func(i *connInfo) {
		if !i.blocked && c.b.current.Load() == a {
			i.blocked = true
			if i.hearsBlocked {
				c.put0(&codec.ConnectionBlocked{Reason: a.reason})
			}
		}
	})
}

func (c *conn) tellUnblocked() {
	c.inform(func(i *connInfo) {
		if i.blocked {
			i.blocked = false
			if i.hearsBlocked {
				c.put0(&codec.ConnectionUnblocked{})
			}
		}
	})
}

// publishes marks the connection as a publisher's and, while there is an alarm, waits.
func (c *conn) publishes() {
	if !c.publisher {
		c.publisher = true
		c.inform(func(i *connInfo) { i.published = true })
	}
	for c.state == stateRunning {
		a := c.b.current.Load()
		if a == nil {
			return
		}
		c.tellConfirms()
		c.tellBlocked(a)
		c.waitFor(func() {
			select {
			case <-a.over:
			case <-c.ending:
			}
		})
		if c.isEnding() {
			return
		}
		c.tellUnblocked() // before anything that follows from reading on
	}
}
