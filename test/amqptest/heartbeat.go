package amqptest

import "time"

// beat sends a heartbeat whenever nothing was written for half an interval, and drops the connection if nothing was
// read for two whole ones, as RabbitMQ does.
func (c *conn) beat(interval time.Duration) {
	defer c.workers.Done()
	ticker := time.NewTicker(max(interval/2, time.Millisecond))
	defer ticker.Stop()
	sent, received, silent := c.sent.Load(), uint64(0), 0
	for half := true; ; half = !half {
		select {
		case <-c.ending:
			return
		case <-ticker.C:
		}
		// Behind what waits to be written a heartbeat would say nothing.
		if now := c.sent.Load(); now != sent || !c.out.empty() {
			sent = now
		} else {
			c.out.put(0, nil, nil)
			sent++ // by the heartbeat itself
		}
		if half {
			continue
		}
		now := c.received.Load()
		if now != received || c.paused.Load() > 0 {
			received, silent = now, 0
			continue
		}
		if silent++; silent == 2 {
			c.logf("missed heartbeats from client, timeout: %v", interval)
			c.cut()
			return
		}
	}
}
