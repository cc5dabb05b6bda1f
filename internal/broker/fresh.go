package broker

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// freshQueue watches over a quorum queue that this process has made. If its node is
// killed soon after, the queue can be dead for good: RabbitMQ has forgotten its log,
// and with it what the queue held. It is there, but to consume it hangs or ends the
// connection with a 541, and nothing that is published to it is confirmed. It is then
// deleted and made again, which nobody else would do.
type freshQueue struct {
	mu       sync.Mutex
	made     time.Time // zero if this process has not made it, or it has outlived the danger
	consumed bool      // once
	failed   int       // attempts to consume it, in a row
	since    time.Time // the first of them
}

const (
	// safeAge is the age at which a queue that is consumed has outlived the danger.
	// RabbitMQ 3.10 was seen to lose queues that were 0.3 s old, after their first
	// consumer and their first confirm.
	safeAge = 5 * time.Second
	// infancy is for how long a queue that cannot be consumed is taken for dead
	// from birth. A queue that was there longer may hold requests.
	infancy = 2 * time.Minute
	// mostFailed is how often a dead queue must have failed, and failedFor for how
	// long if it has been consumed: it may hold requests if it is not dead after all.
	mostFailed = 3
	failedFor  = 10 * time.Second
)

// declareQuorum declares the queue and notes whether it was made.
func (d *Declarer) declareQuorum(s *Session) error {
	there, err := Exists(s, d.Queue.Name)
	if err != nil {
		return err
	}
	if there && d.fresh.dead() {
		d.Logger.Warn("the queue was made by this process and cannot be consumed; making it again", "queue", d.Queue.Name)
		if err := Delete(s, d.Queue.Name); err != nil {
			return fmt.Errorf("delete queue %s, which is broken: %w", d.Queue.Name, err)
		}
		there = false
	}
	if !there {
		// Before it is made: the connection may end with it.
		d.fresh.begin()
	}
	return d.declare(s)
}

// Consumed says how an attempt to consume the queue ended.
func (d *Declarer) Consumed(err error) {
	f := &d.fresh
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.consumed, f.failed = true, 0
		f.settle()
	case unusable(err):
		if f.failed++; f.failed == 1 {
			f.since = time.Now()
		}
	}
}

// Ended says that the queue is not consumed any more.
func (d *Declarer) Ended() {
	f := &d.fresh
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
}

// settle forgets a queue that is, or was until now, consumed at an age at which it has
// outlived the danger.
func (f *freshQueue) settle() {
	if time.Since(f.made) > safeAge {
		f.made = time.Time{}
	}
}

func (f *freshQueue) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made, f.consumed, f.failed = time.Now(), false, 0
}

func (f *freshQueue) dead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed < mostFailed || f.made.IsZero() || time.Since(f.made) > infancy {
		return false
	}
	return !f.consumed || time.Since(f.since) > failedFor
}

// unusable reports whether err is what a queue is like whose log RabbitMQ has lost.
// One whose node is down, or that has no majority, can be like that too.
func unusable(err error) bool {
	return errors.Is(err, errNoAnswer) && !errors.Is(err, ErrSessionEnded) || hasCode(err, amqp.InternalError)
}

// cure adds to an error what an operator can do about a queue that is unusable.
func cure(s *Session, queue string, err error) error {
	if err == nil || !unusable(err) {
		return err
	}
	quoted := func(name string) string { return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'" }
	return fmt.Errorf("%w; if queue %s stays so while all nodes are up, it is damaged: delete it, with what it holds, and servers make it again: "+
		"rabbitmqctl -p %s delete_queue %s", err, queue, quoted(s.conn.Config.Vhost), quoted(queue))
}
