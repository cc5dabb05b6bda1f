package broker

import (
	"context"
	"fmt"
)

// Prober asks how many consumers queues have.
type Prober struct {
	probes chan probe
}

type probe struct {
	queue  string
	answer chan<- probed // buffered
}

type probed struct {
	consumers int
	err       error
}

// NewProber returns a prober to be put on a link.
func NewProber() *Prober { return &Prober{probes: make(chan probe)} }

// Consumers returns how many consumers the queue has. It fails with the
// broker's 404 (see [IsNotFound]) if there is no such queue, with its 405 if
// the queue is exclusive to somebody else, and with ctx's error if no answer
// came in time.
func (p *Prober) Consumers(ctx context.Context, queue string) (int, error) {
	answer := make(chan probed, 1)
	select {
	case p.probes <- probe{queue, answer}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case a := <-answer:
		return a.consumers, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Serve implements Component.
func (p *Prober) Serve(ctx context.Context, s *Session) {
	l := lookup{s: s}
	defer l.close()
	for {
		select {
		case probe := <-p.probes:
			q, err := l.queue(probe.queue)
			if err != nil {
				err = fmt.Errorf("queue %s: %w", probe.queue, withAdvice(s, probe.queue, err))
			}
			probe.answer <- probed{q.Consumers, err}
		case <-s.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}
