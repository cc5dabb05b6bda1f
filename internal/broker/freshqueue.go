package broker

import (
	"sync"
	"time"
)

// freshQueue watches over a quorum queue that this process has made. If its node is
// killed soon after, the queue can be dead for good: RabbitMQ has forgotten its log,
// and with it what the queue held. It is there, but to consume it hangs or ends the
// connection with a 541, and nothing that is published to it is confirmed. It is then
// deleted and made again, which nobody else would do.
type freshQueue struct {
	mu    sync.Mutex
	made  time.Time // zero if this process has not made it, or it has outlived the danger
	used  bool      // it has been consumed
	fails int       // attempts to consume it that failed, in a row
	since time.Time // the first of them
}

const (
	// safeAge is the age at which a queue that is consumed has outlived the danger.
	// RabbitMQ 3.10 was seen to lose queues that were 0.3 s old, after their first
	// consumer and their first confirm.
	safeAge = 5 * time.Second
	// freshFor is for how long a queue that cannot be consumed is taken for one that
	// never could. A queue that was there longer may hold requests.
	freshFor = 2 * time.Minute
	// deadFails is how often a dead queue must have failed, and deadFor for how long
	// if it has been consumed: it may hold requests if it is not dead after all.
	deadFails = 3
	deadFor   = 10 * time.Second
)

// begin notes that the queue is about to be made.
func (f *freshQueue) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made, f.used, f.fails = time.Now(), false, 0
}

// consumed notes how an attempt to consume the queue ended.
func (f *freshQueue) consumed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.used, f.fails = true, 0
		f.outlive()
	case isUnusable(err):
		if f.fails++; f.fails == 1 {
			f.since = time.Now()
		}
	}
}

// ended notes that the queue is not consumed any more.
func (f *freshQueue) ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outlive()
}

// outlive forgets a queue that is, or was until now, consumed at an age at which it has
// outlived the danger.
func (f *freshQueue) outlive() {
	if time.Since(f.made) > safeAge {
		f.made = time.Time{}
	}
}

// dead reports whether the queue is to be made again.
func (f *freshQueue) dead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails < deadFails || f.made.IsZero() || time.Since(f.made) > freshFor {
		return false
	}
	return !f.used || time.Since(f.since) > deadFor
}
