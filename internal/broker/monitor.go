package broker

import (
	"context"
	"time"
)

// Monitor looks regularly at how long a queue is and how many consumers it has.
type Monitor struct {
	Queue string
	Every time.Duration
	// Due, called each time, says whether to look.
	Due func() bool
	// Seen is told what there is: the messages that are with no consumer, and the
	// consumers. It is not called if the broker does not say.
	Seen func(ready, consumers int)
}

// Serve implements Component.
func (m *Monitor) Serve(ctx context.Context, s *Session) {
	l := lookup{s: s}
	defer l.close()
	ticker := time.NewTicker(m.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.Done():
			return
		case <-ctx.Done():
			return
		}
		if !m.Due() {
			continue
		}
		if q, err := l.queue(m.Queue); err == nil {
			m.Seen(q.Messages, q.Consumers)
		}
	}
}
