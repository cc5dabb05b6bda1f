package interop

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// goConfirmed is a channel whose publishes are confirmed. One goroutine may use
// it at a time.
type goConfirmed struct {
	*amqp.Channel
	returns  <-chan amqp.Return
	confirms <-chan amqp.Confirmation
}

func openConfirmed(conn *amqp.Connection) (*goConfirmed, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	return &goConfirmed{
		Channel: ch, returns: ch.NotifyReturn(make(chan amqp.Return, 1)), confirms: ch.NotifyPublish(make(chan amqp.Confirmation, 1)),
	}, nil
}

// outcome publishes and says what the broker tells of it. The library hands over
// returns and confirms in the order in which they came, so a return that is not
// there with the confirm came after it, or never.
func (c *goConfirmed) outcome(queue string, p amqp.Publishing, mandatory bool) (string, error) {
	if err := c.PublishWithContext(context.Background(), "", queue, mandatory, false, p); err != nil {
		return "", err
	}
	var confirm amqp.Confirmation
	select {
	case c, open := <-c.confirms:
		if !open {
			return "", errors.New("the channel was closed")
		}
		confirm = c
	case <-time.After(patience.Soon):
		return "", errors.New("no confirm")
	}
	told := "refused"
	if confirm.Ack {
		told = "confirmed"
	}
	select {
	case r := <-c.returns:
		return fmt.Sprintf("returned with %d %s, then %s", r.ReplyCode, r.ReplyText, told), nil
	default:
		return told, nil
	}
}
