package amqptest

import "time"

// affect does to the broker what an action does after an event. The connection waits for it, unless that ends it.
func (a Action) affect(b *Broker, ev *Event) {
	switch a.kind {
	case actionCancelConsumer:
		queue := a.text
		if queue == "" {
			queue = ev.Queue
		}
		b.CancelConsumers(ev.VHost, queue)
	case actionBlock:
		b.Block("")
		if a.wait > 0 {
			b.effects.Go(func() {
				b.pause(a.wait)
				b.Unblock()
			})
		}
	case actionRestart:
		b.Stop()
		b.pause(a.wait)
		b.Restart(a.keep)
	default:
	}
}

// pause waits for d, or until the broker is closed.
func (b *Broker) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.closed:
	}
}
