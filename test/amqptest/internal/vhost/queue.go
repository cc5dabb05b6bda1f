package vhost

import (
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

type queue struct {
	host       *Host
	name       string
	durable    bool
	autoDelete bool
	owner      *Conn // of an exclusive queue
	arguments  codec.Table

	// What the arguments say; see configure. Limits are -1 if there is none.
	quorum             bool
	expires, ttl       time.Duration
	hasTTL             bool
	deadLetterExchange string
	hasDeadLetters     bool
	deadLetterKey      string
	hasDeadLetterKey   bool
	maxLength          int
	maxBytes           int64
	maxPriority        int
	overflow           string
	singleActive       bool
	deliveryLimit      int

	ready     backlog
	unacked   int
	seq       uint64 // of the item that came last
	tried     uint64 // items up to this one have been offered to the consumers; see run
	consumers []*consumer
	active    *consumer // the one that gets all, with singleActive
	exclusive *consumer // the one that tolerates no other

	listed  bool // in host.moved
	deleted bool
	round   uint64 // see routing

	expiry *time.Timer // of the first message
	alarm  int64       // when it goes off, 0 if it does not
	idle   *time.Timer // of an unused queue
	unused time.Time   // when it goes off
}

func (q *queue) kind() string {
	if q.quorum {
		return typeQuorum
	}
	return typeClassic
}

// touch has the queue looked at before the lock is given back.
func (q *queue) touch() {
	if !q.listed && !q.deleted {
		q.listed = true
		q.host.moved = append(q.host.moved, q)
	}
}

// run delivers what can be delivered and removes what is too old or too much. A
// message is offered to the consumers once before its time to live counts: one
// of zero goes to a consumer that waits, or nowhere.
func (q *queue) run() {
	now := time.Now().UnixNano()
	for {
		q.dropExpired(now)
		if q.ready.len() == 0 {
			break
		}
		c := q.nextConsumer()
		if c == nil {
			break
		}
		c.deliver(q.ready.pop())
	}
	q.tried = q.seq
	q.dropExpired(now)
	q.dropExcess()
	q.setAlarm(now)
}

// enqueue appends a message. It says no if the queue is full and refuses it.
func (q *queue) enqueue(msg *Message) bool {
	if (q.overflow == overflowReject || q.overflow == overflowRejectDeadLetter) && q.overflows(1, int64(len(msg.Body))) {
		if q.overflow == overflowRejectDeadLetter {
			q.deadLetter(&item{msg: msg}, reasonMaxLength)
		}
		return false
	}
	if q.quorum && hasLong(msg.Properties.Headers) {
		msg = msg.withHeaders(msg.Properties.Headers)
	}
	q.seq++
	it := &item{msg: msg, seq: q.seq, priority: int(msg.Properties.Priority)}
	if ttl, limited := q.timeToLive(msg); limited {
		it.expires = time.Now().Add(ttl).UnixNano()
	}
	q.ready.push(it)
	q.host.bytes += msg.size()
	q.touch()
	return true
}

// overflows says whether so many more messages would be too many.
func (q *queue) overflows(messages int, bytes int64) bool {
	return q.maxLength >= 0 && q.ready.len()+messages > q.maxLength || q.maxBytes >= 0 && q.ready.bytes+bytes > q.maxBytes
}

// dropExcess removes the oldest messages of a queue that is too long.
func (q *queue) dropExcess() {
	if q.overflow == overflowReject || q.overflow == overflowRejectDeadLetter {
		return
	}
	for q.ready.len() > 0 && q.overflows(0, 0) {
		it := q.ready.pop()
		q.forget(it)
		q.deadLetter(it, reasonMaxLength)
	}
}

// timeToLive is the shorter of the queue's and the message's own.
func (q *queue) timeToLive(msg *Message) (time.Duration, bool) {
	own, limited := msg.expiration()
	switch {
	case !limited:
		return q.ttl, q.hasTTL
	case !q.hasTTL:
		return own, true
	default:
		return min(own, q.ttl), true
	}
}

// dropExpired removes messages whose time is up from the head of the queue.
// Behind one that lives longer they stay, as in RabbitMQ.
func (q *queue) dropExpired(now int64) {
	for {
		it := q.ready.peek()
		if it == nil || it.expires == 0 || it.expires > now || it.seq > q.tried {
			return
		}
		q.ready.pop()
		q.forget(it)
		q.deadLetter(it, reasonExpired)
	}
}

// setAlarm wakes the queue when its first message expires.
func (q *queue) setAlarm(now int64) {
	var at int64
	if it := q.ready.peek(); it != nil {
		at = it.expires
	}
	if at == q.alarm {
		return
	}
	q.alarm = at
	switch {
	case at == 0:
		q.expiry.Stop()
	case q.expiry == nil:
		q.expiry = time.AfterFunc(time.Duration(at-now), q.wakeUp)
	default:
		q.expiry.Reset(time.Duration(at - now))
	}
}

func (q *queue) wakeUp() {
	q.host.enter()
	defer q.host.leave()
	q.alarm = 0
	q.touch()
}

// used starts the time anew after which an unused queue is deleted.
func (q *queue) used() {
	if q.expires == 0 || q.deleted {
		return
	}
	q.unused = time.Now().Add(q.expires)
	if q.idle == nil {
		q.idle = time.AfterFunc(q.expires, q.expire)
	} else {
		q.idle.Reset(q.expires)
	}
}

// expire deletes the queue, if it was not used while the timer waited for the
// lock.
func (q *queue) expire() {
	q.host.enter()
	defer q.host.leave()
	if len(q.consumers) == 0 && !time.Now().Before(q.unused) {
		q.host.removeQueue(q)
	}
}

// takeBack returns messages that were delivered and not acknowledged. A classic
// queue puts them where they were; a quorum queue before all others, and counts.
func (q *queue) takeBack(items []*item) {
	if q.deleted {
		for _, it := range items {
			q.forget(it)
		}
		return
	}
	q.touch()
	if !q.quorum {
		for _, it := range items {
			it.redelivered = true
			q.ready.insert(it)
		}
		return
	}
	for _, it := range items {
		it.redelivered = true
		it.deliveries++
		if q.deliveryLimit >= 0 && it.deliveries > q.deliveryLimit {
			q.forget(it)
			q.deadLetter(it, reasonDeliveryLimit)
			continue
		}
		q.ready.pushReturned(it)
	}
}

// forget lets go of a message that has left the queue.
func (q *queue) forget(it *item) { q.host.bytes -= it.msg.size() }

func (q *queue) purge() int {
	n := q.ready.len()
	for it := q.ready.pop(); it != nil; it = q.ready.pop() {
		q.forget(it)
	}
	q.touch()
	return n
}

// discard ends the queue. Its messages are not dead-lettered.
func (q *queue) discard() {
	q.purge()
	q.deleted = true
	q.consumers, q.active, q.exclusive = nil, nil, nil
	for _, t := range []*time.Timer{q.expiry, q.idle} {
		if t != nil {
			t.Stop()
		}
	}
}

// restart keeps what a durable queue has on disk.
func (q *queue) restart(keepMessages bool) {
	var kept []*item
	for it := q.ready.pop(); it != nil; it = q.ready.pop() {
		if keepMessages && (q.quorum || it.msg.persistent()) {
			kept = append(kept, it)
		} else {
			q.forget(it)
		}
	}
	for _, it := range kept {
		if it.deliveries > 0 {
			q.ready.pushReturned(it)
		} else {
			q.ready.push(it)
		}
	}
	q.used()
	q.touch()
}
