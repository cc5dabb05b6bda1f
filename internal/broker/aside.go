package broker

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A broker that denies something may end the whole connection over it, and with it
// everything that works: RabbitMQ does so for a transient queue where those are not
// permitted (541), and for a channel over a user's limit (530). Who may have been the
// cause is tried on a connection of its own before it comes near others again.

// deniedError says that a consumer cannot have what it needs, though nothing else is wrong.
type deniedError struct {
	why string
	err error
}

func (d *deniedError) Error() string { return "warren: " + d.why + ": " + d.err.Error() }

func (d *deniedError) Unwrap() error { return d.err }

// deniedPause is the time between attempts to have what was denied.
const deniedPause = 30 * time.Second

// mostFull is how often in a row there is no channel left for a consumer, before that
// is final: others need one more while they begin.
const mostFull = 6

// isVerdict reports whether a session has ended because the broker minded something
// that was done on it.
func isVerdict(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && e.Code != amqp.ConnectionForced && errors.Is(err, ErrSessionEnded)
}

// openSuspect opens a stream. What the last session may have ended over is first
// declared on a connection of its own. Consumers take turns with that: what is permitted
// to each may be denied to all.
func (c *Consumer) openSuspect(ctx context.Context, s *Session, flow flow) (*stream, error) {
	if !c.suspect {
		return c.open(s, flow)
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-s.Done():
		return nil, s.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	aside, err := s.another(ctx)
	if err == nil {
		_, err = c.cfg.Declare(aside)
		if aside.conn.IsClosed() {
			<-aside.Done() // it is told a moment later
		}
		verdict := aside.Err()
		aside.close()
		if err != nil && isVerdict(verdict) {
			return nil, &deniedError{"the broker does not permit it, and ends the connection over it", verdict}
		}
	}
	// Any other failure shows again here, and harms nobody.
	return c.open(s, flow)
}
