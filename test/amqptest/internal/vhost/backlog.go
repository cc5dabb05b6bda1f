package vhost

import "container/list"

// item is a message in one queue.
type item struct {
	msg *Message
	seq uint64 // the place in the queue: what came first has the lowest

	redelivered bool
	deliveries  int   // how often it was delivered and came back
	expires     int64 // in nanoseconds since 1970; 0 is never
	priority    int
}

// backlog holds the ready messages of a queue in the order of delivery: what
// came back first, then by priority, then by place.
type backlog struct {
	returned *list.List   // used by quorum queues
	levels   []*list.List // by priority
	count    int
	bytes    int64
}

func newBacklog(maxPriority int) backlog {
	b := backlog{returned: list.New()}
	for range maxPriority + 1 {
		b.levels = append(b.levels, list.New())
	}
	return b
}

func (b *backlog) len() int { return b.count }

// first is the list whose front is next.
func (b *backlog) first() *list.List {
	if b.returned != nil && b.returned.Len() > 0 {
		return b.returned
	}
	for i := len(b.levels) - 1; i >= 0; i-- {
		if b.levels[i].Len() > 0 {
			return b.levels[i]
		}
	}
	return nil
}

func (b *backlog) peek() *item {
	if l := b.first(); l != nil {
		return l.Front().Value.(*item) //nolint:forcetypeassert // all are
	}
	return nil
}

func (b *backlog) pop() *item {
	l := b.first()
	if l == nil {
		return nil
	}
	it := l.Remove(l.Front()).(*item) //nolint:forcetypeassert // all are
	b.count--
	b.bytes -= int64(len(it.msg.Body))
	return it
}

func (b *backlog) push(it *item) {
	b.levels[min(it.priority, len(b.levels)-1)].PushBack(it)
	b.added(it)
}

// insert puts an item back to its place.
func (b *backlog) insert(it *item) {
	l := b.levels[min(it.priority, len(b.levels)-1)]
	b.added(it)
	for e := l.Front(); e != nil; e = e.Next() {
		if e.Value.(*item).seq > it.seq { //nolint:forcetypeassert // all are
			l.InsertBefore(it, e)
			return
		}
	}
	l.PushBack(it)
}

// pushReturned puts an item before all that never was delivered, behind what
// came back earlier.
func (b *backlog) pushReturned(it *item) {
	b.returned.PushBack(it)
	b.added(it)
}

func (b *backlog) added(it *item) {
	b.count++
	b.bytes += int64(len(it.msg.Body))
}
