package broker

import (
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// LogLimiter keeps what goes wrong again and again from filling the log: three lines,
// then one a minute, and again three when the broker says something else or nothing
// went wrong for a minute. It serves one goroutine.
type LogLimiter struct {
	reason string    // the broker's, of the last error
	lines  int       // in a row
	logged time.Time // when the last line was
	failed time.Time // when it last went wrong
	left   int       // errors that were left out since the last line
}

const (
	logLines = 3
	logEvery = time.Minute
)

// Allow reports whether to log err, and how many errors were left out before it.
func (l *LogLimiter) Allow(err error) (left int, ok bool) {
	now, reason := time.Now(), ""
	var e *amqp.Error
	if errors.As(err, &e) && e.Server {
		reason = e.Reason
	}
	if reason != l.reason || now.Sub(l.failed) > logEvery {
		l.lines = 0
	}
	l.reason, l.failed = reason, now
	if l.lines >= logLines && now.Sub(l.logged) < logEvery {
		l.left++
		return 0, false
	}
	l.lines++
	l.logged, left, l.left = now, l.left, 0
	return left, true
}
