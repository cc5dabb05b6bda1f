package broker

import (
	"slices"
	"time"
)

// interrupted notes that nothing goes out for now. The caller holds mu.
func (p *Publisher) interrupted() {
	if p.pace != nil {
		p.pace.Interrupted(time.Now())
	}
}

// batch is how many messages are written under one cork.
const batch = 256

// take returns the next messages to write, nil if there are none or they are
// held back. With a wait above 0 it has some after that time.
func (p *Publisher) take(most int) (items []*Publishing, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held || p.blocked {
		return nil, 0
	}
	n := len(p.line)
	if p.pace != nil {
		var allowed int
		if allowed, wait = p.pace.Take(time.Now(), n); allowed < n {
			n = p.first(allowed)
		}
	}
	if n = min(n, batch, most); n == 0 {
		return nil, wait
	}
	items = p.line[:n:n]
	if p.line = p.line[n:]; len(p.line) == 0 {
		p.line = nil
	}
	return items, wait
}

// first returns how much of the line has n messages that are still wanted. The
// caller holds mu.
func (p *Publisher) first(n int) int {
	for i, item := range p.line {
		if item.state.Load() == settled {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return len(p.line)
}

// putBack puts messages that were taken and that no broker has seen in front of the
// line.
func (p *Publisher) putBack(items []*Publishing) {
	if len(items) == 0 {
		return
	}
	p.mu.Lock()
	var refusal error
	switch {
	case p.closed:
		refusal = ErrClosed
	case p.blocked && !p.holdWhenBlocked:
		refusal = ErrBlocked
	default:
		p.line = append(slices.Clip(items), p.line...)
	}
	p.mu.Unlock()
	p.poke()
	if refusal != nil {
		for _, item := range items {
			item.settle(Unsent, refusal)
		}
	}
}
