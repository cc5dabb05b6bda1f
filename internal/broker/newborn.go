package broker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// newborn knows of a quorum queue that this process has made and that nobody has
// consumed yet. If its node dies within some 100 ms of the declaration, the queue
// can be broken for good: it is there, to consume it hangs or ends the connection
// with a 541, and nothing that is published to it is confirmed. It is then deleted
// and made again, which nobody else would do.
type newborn struct {
	mu     sync.Mutex
	made   time.Time // zero if this process has not made it, or it has been consumed
	failed int       // attempts to consume it, in a row
}

const (
	// infancy is for how long a queue that cannot be consumed is taken for broken by
	// its birth. A queue that was there longer may hold requests.
	infancy = 2 * time.Minute
	// stillborn is how often it must have failed.
	stillborn = 3
)

// declareQuorum declares the queue and notes whether it was made.
func (d *Declarer) declareQuorum(s *Session) error {
	there, err := Exists(s, d.Queue.Name)
	if err != nil {
		return err
	}
	if there && d.newborn.broken() {
		d.Logger.Warn("the queue was made by this process and cannot be consumed; making it again", "queue", d.Queue.Name)
		if err := Delete(s, d.Queue.Name); err != nil {
			return fmt.Errorf("delete queue %s, which is broken: %w", d.Queue.Name, err)
		}
		there = false
	}
	if !there {
		// Before it is made: the connection may end with it.
		d.newborn.begin()
	}
	return d.declare(s)
}

// Consumed says how an attempt to consume the queue ended.
func (d *Declarer) Consumed(err error) {
	n := &d.newborn
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err == nil:
		n.made, n.failed = time.Time{}, 0
	case errors.Is(err, errNoAnswer) || hasCode(err, amqp.InternalError):
		n.failed++
	}
}

func (n *newborn) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.made, n.failed = time.Now(), 0
}

func (n *newborn) broken() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed >= stillborn && !n.made.IsZero() && time.Since(n.made) < infancy
}
