package simulate

import (
	"container/heap"
	"time"
)

// eventQueue is virtual time: what is to happen, and when. Of two events at the same
// instant the one that was planned first happens first.
type eventQueue struct {
	now    time.Time
	events events
	number uint64
}

// event is one thing that is to happen.
type event struct {
	at     time.Time
	number uint64
	do     func() // nil once it was cancelled
}

// epoch is when simulations begin.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// after plans an event. It is a time.AfterFunc without goroutines.
func (q *eventQueue) after(wait time.Duration, do func()) *event {
	q.number++
	e := &event{at: q.now.Add(wait), number: q.number, do: do}
	heap.Push(&q.events, e)
	return e
}

// cancel keeps the event from happening, if it has not; e may be nil.
func (e *event) cancel() {
	if e != nil {
		e.do = nil
	}
}

// run lets everything happen, and what comes of it.
func (q *eventQueue) run() {
	for len(q.events) > 0 {
		e := heap.Pop(&q.events).(*event) //nolint:errcheck // it holds nothing else
		if e.do == nil {
			continue
		}
		q.now = e.at
		e.do()
	}
}

// events is a heap.
type events []*event

func (e events) Len() int { return len(e) }

func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].number < e[j].number
	}
	return e[i].at.Before(e[j].at)
}

func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *events) Push(x any) { *e = append(*e, x.(*event)) } //nolint:errcheck // it holds nothing else

func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*e = old[:len(old)-1]
	return last
}
