package amqptest

import (
	"sync"
	"sync/atomic"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/amqptest/internal/vhost"
)

const (
	// outboxLimit is how many bytes wait for a client before no more deliveries are sent to it and nothing more is
	// read from it. What is sent without being asked for, answers to a direct reply-to, may exceed it: the memory
	// alarm counts them.
	outboxLimit = 1 << 20
	// outgoingOverhead is what an entry is reckoned at besides its body.
	outgoingOverhead = 256
)

// outgoing is a method for the client with its content, or without a method a heartbeat.
type outgoing struct {
	channel uint16
	method  codec.Method
	msg     *vhost.Message // nil: no content
}

func (o *outgoing) size() int64 {
	if o.msg == nil {
		return outgoingOverhead
	}
	return outgoingOverhead + int64(len(o.msg.Body))
}

// outbox is what waits to be written to a client, in order. Putting something in never blocks.
type outbox struct {
	total *atomic.Int64 // of all outboxes of the broker, in bytes

	mu      sync.Mutex
	changed sync.Cond // something came, was written, or stopped
	queue   []outgoing
	size    int64 // of the queue, and of what was taken from it and not yet written
	asleep  bool  // the writer waits
	woken   bool  // it is to look after what it holds back
	waiting int   // others that do
	starved []*channel
	sealed  bool // takes no more, except by force
	stopped bool
}

func newOutbox(total *atomic.Int64) *outbox {
	o := &outbox{total: total}
	o.changed.L = &o.mu
	return o
}

// put adds an entry, unless the connection is ending.
func (o *outbox) put(channel uint16, m codec.Method, msg *vhost.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.sealed {
		o.add(outgoing{channel, m, msg})
	}
}

// seal adds a last method on channel 0.
func (o *outbox) seal(m codec.Method) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealed = true
	o.add(outgoing{method: m})
}

// mute makes it take no more.
func (o *outbox) mute() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealed = true
}

// force adds a method on channel 0 after the last.
func (o *outbox) force(m codec.Method) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(outgoing{method: m})
}

func (o *outbox) add(item outgoing) {
	if o.stopped {
		return
	}
	o.queue = append(o.queue, item)
	o.grow(item.size())
	if o.asleep {
		o.asleep = false
		o.changed.Broadcast()
	}
}

func (o *outbox) grow(n int64) {
	o.size += n
	o.total.Add(n)
}

// take waits for entries or for wakeWriter, and returns all that are there, or false when the connection has ended. done is what was
// taken before.
func (o *outbox) take(done []outgoing) ([]outgoing, bool) {
	clear(done)
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) == 0 && !o.stopped && !o.woken {
		o.asleep = true
		o.changed.Wait()
	}
	o.asleep, o.woken = false, false
	if o.stopped {
		return nil, false
	}
	batch := o.queue
	o.queue = done[:0]
	return batch, true
}

// written says that n bytes of what was taken have been written. It returns the channels that have waited for it.
func (o *outbox) written(n int64) []*channel {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return nil
	}
	o.grow(-n)
	if o.waiting > 0 {
		o.changed.Broadcast()
	}
	if len(o.starved) == 0 || o.size > outboxLimit/2 {
		return nil
	}
	list := o.starved
	o.starved = nil
	for _, ch := range list {
		ch.starved = false
	}
	return list
}

// writable says whether a channel may have deliveries. If not, written returns the channel once it may.
func (o *outbox) writable(ch *channel) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.size < outboxLimit {
		return true
	}
	if !ch.starved {
		ch.starved = true
		o.starved = append(o.starved, ch)
	}
	return false
}

func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size >= outboxLimit && !o.stopped
}

func (o *outbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size == 0
}

// awaitRoom waits until the client has taken half of what it may be owed, or ending is closed; nudge follows that.
func (o *outbox) awaitRoom(ending <-chan struct{}) {
	o.await(func() bool {
		select {
		case <-ending:
			return true
		default:
			return o.size <= outboxLimit/2
		}
	})
}

// wakeWriter makes take return.
func (o *outbox) wakeWriter() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.woken = true
	o.changed.Broadcast()
}

// nudge makes those who wait look again.
func (o *outbox) nudge() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed.Broadcast()
}

// awaitWritten waits until everything was written.
func (o *outbox) awaitWritten() { o.await(func() bool { return o.size == 0 }) }

func (o *outbox) await(is func() bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting++
	for !is() && !o.stopped {
		o.changed.Wait()
	}
	o.waiting--
}

// stop throws away what is left.
func (o *outbox) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped, o.sealed = true, true
	o.grow(-o.size)
	o.queue, o.starved = nil, nil
	o.changed.Broadcast()
}
