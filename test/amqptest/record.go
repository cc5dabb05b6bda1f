package amqptest

import (
	"context"
	"fmt"
)

const (
	defaultRecordLimit = 10_000
	defaultRecordBytes = 16 << 20
)

// record keeps the last events, the oldest first. All but its limits is guarded by the lock of faults.
type record struct {
	limit    int   // events; 0 is the default, negative none
	maxBytes int64 // 0 is the default

	events  []*Event // a ring once it is as long as the limit
	first   int      // of the ring
	count   int
	bytes   int64
	seq     uint64
	dropped uint64
	waiting map[chan struct{}]struct{} // a token is put into each when there is an event
}

func (r *record) limits() (events int, bytes int64) {
	events, bytes = r.limit, r.maxBytes
	if events == 0 {
		events = defaultRecordLimit
	}
	if bytes == 0 {
		bytes = defaultRecordBytes
	}
	return max(events, 0), bytes
}

// add numbers an event and keeps it.
func (r *record) add(ev *Event) {
	r.seq++
	ev.Seq = r.seq
	limit, maxBytes := r.limits()
	ev.cost = int64(ev.memory())
	for r.count > 0 && (r.count >= limit || r.bytes+ev.cost > maxBytes) {
		r.dropFirst()
	}
	if limit == 0 || ev.cost > maxBytes {
		r.dropped++
	} else {
		r.push(ev, limit)
		r.bytes += ev.cost
	}
	for c := range r.waiting {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (r *record) push(ev *Event, limit int) {
	if r.count == len(r.events) {
		// Full and below the limit: unroll the ring into a larger one.
		larger := make([]*Event, min(max(2*len(r.events), 64), limit))
		n := copy(larger, r.events[r.first:])
		copy(larger[n:], r.events[:r.first])
		r.events, r.first = larger, 0
	}
	r.events[(r.first+r.count)%len(r.events)] = ev
	r.count++
}

func (r *record) dropFirst() {
	ev := r.events[r.first]
	r.events[r.first] = nil
	r.first = (r.first + 1) % len(r.events)
	r.count--
	r.bytes -= ev.cost
	r.dropped++
}

// since returns the events that are kept with a number above seq.
func (r *record) since(seq uint64) []*Event {
	n := int(min(r.seq-seq, uint64(r.count)))
	list := make([]*Event, 0, n)
	for i := r.count - n; i < r.count; i++ {
		if ev := r.events[(r.first+i)%len(r.events)]; ev.Seq > seq {
			list = append(list, ev)
		}
	}
	return list
}

// Events returns those of the recorded events that match, in the order of their numbers. An event is recorded when the
// broker looks at it: before it is executed, or written. Options.RecordLimit and RecordBytes say how many are kept,
// Dropped how many are not any more. Frames are recorded if a fault met them. Events panics if nothing can match, as
// for a method that does not exist.
func (b *Broker) Events(when When) []Event {
	m := when.mustCompile("Events")
	var list []Event
	for _, ev := range b.recorded(0) {
		if ev := m.find(ev); ev != nil {
			list = append(list, *ev)
		}
	}
	return list
}

// Count is how many of the recorded events match: the length of what Events returns, for less.
func (b *Broker) Count(when When) int {
	m := when.mustCompile("Count")
	return m.count(b.recorded(0))
}

// Wait waits until n events that match have been recorded, those from before the call included. It fails if ctx ends or
// the broker is closed before that. What Events says holds for it too.
func (b *Broker) Wait(ctx context.Context, when When, n int) error {
	m := when.mustCompile("Wait")
	more := make(chan struct{}, 1)
	b.faults.await(more)
	defer b.faults.leave(more)
	var seen uint64
	for count := 0; ; {
		list := b.recorded(seen)
		if len(list) > 0 {
			seen = list[len(list)-1].Seq
		}
		if count += m.count(list); count >= n {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("amqptest: %d of %d events that match %s: %w", count, n, when.describe(), context.Cause(ctx))
		case <-b.closed:
			return fmt.Errorf("amqptest: %d of %d events that match %s: %w", count, n, when.describe(), errClosed)
		}
	}
}

// Dropped is how many events were recorded and are not kept any more, because the limits of the record were reached.
func (b *Broker) Dropped() uint64 {
	b.faults.mu.Lock()
	defer b.faults.mu.Unlock()
	return b.faults.dropped
}

// Forget empties the record, so that Events, Count and Wait begin anew. It does not change what rules have counted, nor
// the numbering of events.
func (b *Broker) Forget() {
	b.faults.mu.Lock()
	defer b.faults.mu.Unlock()
	r := &b.faults.record
	r.events, r.first, r.count, r.bytes, r.dropped = nil, 0, 0, 0, 0
}

func (b *Broker) recorded(since uint64) []*Event {
	b.faults.mu.Lock()
	defer b.faults.mu.Unlock()
	return b.faults.since(since)
}

func (fs *faults) await(more chan struct{}) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.waiting == nil {
		fs.waiting = make(map[chan struct{}]struct{})
	}
	fs.waiting[more] = struct{}{}
}

func (fs *faults) leave(more chan struct{}) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.waiting, more)
}

func (w When) mustCompile(caller string) *matcher {
	m, err := w.compile()
	if err != nil {
		panic(fmt.Sprintf("amqptest: %s: %v", caller, err))
	}
	return m
}

// find returns an event as users see it if it matches, or nil.
func (m *matcher) find(ev *Event) *Event {
	if !m.plain(ev) {
		return nil
	}
	shown := ev.public()
	if !m.asked(shown) {
		return nil
	}
	return shown
}

func (m *matcher) count(list []*Event) int {
	n := 0
	for _, ev := range list {
		if m.plain(ev) && (!m.asks() || m.asked(ev.public())) {
			n++
		}
	}
	return n
}
