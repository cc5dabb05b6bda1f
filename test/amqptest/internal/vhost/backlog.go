package vhost

import "container/heap"

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
	returned fifo // used by quorum queues
	levels   []level
	top      int // no level above it has any
	count    int
	bytes    int64
}

// level holds the messages of one priority. What comes back was at the head
// once, so its place is before all that was never delivered: nothing is ever
// inserted among those.
type level struct {
	back  bySeq
	fresh fifo
}

func newBacklog(maxPriority int) backlog { return backlog{levels: make([]level, maxPriority+1)} }

func (b *backlog) len() int { return b.count }

func (b *backlog) peek() *item {
	if it := b.returned.peek(); it != nil {
		return it
	}
	for ; b.top > 0; b.top-- {
		if it := b.levels[b.top].peek(); it != nil {
			return it
		}
	}
	return b.levels[0].peek()
}

func (b *backlog) pop() *item {
	it := b.peek()
	if it == nil {
		return nil
	}
	if b.returned.peek() == it {
		b.returned.pop()
	} else {
		b.levels[b.top].pop()
	}
	b.count--
	b.bytes -= int64(len(it.msg.Body))
	return it
}

func (b *backlog) push(it *item) { b.at(it).fresh.push(it) }

// insert puts an item back to its place.
func (b *backlog) insert(it *item) { heap.Push(&b.at(it).back, it) }

// pushReturned puts an item before all that never was delivered, behind what
// came back earlier.
func (b *backlog) pushReturned(it *item) {
	b.returned.push(it)
	b.added(it)
}

func (b *backlog) at(it *item) *level {
	p := min(it.priority, len(b.levels)-1)
	b.top = max(b.top, p)
	b.added(it)
	return &b.levels[p]
}

func (b *backlog) added(it *item) {
	b.count++
	b.bytes += int64(len(it.msg.Body))
}

func (l *level) peek() *item {
	if len(l.back) > 0 {
		return l.back[0]
	}
	return l.fresh.peek()
}

func (l *level) pop() {
	if len(l.back) > 0 {
		heap.Pop(&l.back)
	} else {
		l.fresh.pop()
	}
}

// fifo is a queue of items.
type fifo struct {
	items []*item
	head  int // those before it are gone
}

func (f *fifo) push(it *item) {
	if f.head > len(f.items)/2 && len(f.items) == cap(f.items) {
		f.items = append(f.items[:0], f.items[f.head:]...)
		clear(f.items[len(f.items):cap(f.items)])
		f.head = 0
	}
	f.items = append(f.items, it)
}

func (f *fifo) peek() *item {
	if f.head == len(f.items) {
		return nil
	}
	return f.items[f.head]
}

func (f *fifo) pop() {
	f.items[f.head] = nil
	f.head++
	if f.head < len(f.items) {
		return
	}
	f.head = 0
	const keep = 1024
	if cap(f.items) > keep {
		f.items = nil
	} else {
		f.items = f.items[:0]
	}
}

// bySeq is a heap whose first item has the lowest place.
type bySeq []*item

func (h bySeq) Len() int           { return len(h) }
func (h bySeq) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h bySeq) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are for package heap.
func (h *bySeq) Push(x any) { *h = append(*h, x.(*item)) } //nolint:errcheck,forcetypeassert // all are

func (h *bySeq) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
