package broker

import (
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Throttle keeps what goes wrong again and again from filling the log: three lines,
// then one a minute, and again three when the broker says something else or nothing
// went wrong for a minute. It serves one goroutine.
type Throttle struct {
	words  string    // the broker's, of the last line
	said   int       // lines in a row
	at     time.Time // of the last one
	seen   time.Time // when it last went wrong
	silent int       // lines left out since
}

const (
	saidAtOnce = 3
	saidEvery  = time.Minute
)

// Allow reports whether to log err, and how many were not logged before it.
func (t *Throttle) Allow(err error) (silent int, ok bool) {
	now, words := time.Now(), ""
	var e *amqp.Error
	if errors.As(err, &e) && e.Server {
		words = e.Reason
	}
	if words != t.words || now.Sub(t.seen) > saidEvery {
		t.said = 0
	}
	t.words, t.seen = words, now
	if t.said >= saidAtOnce && now.Sub(t.at) < saidEvery {
		t.silent++
		return 0, false
	}
	t.said++
	t.at, silent, t.silent = now, t.silent, 0
	return silent, true
}
