package interop

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// publishByGo is peers/*/blocked.* in plain amqp091-go.
func publishByGo(t *testing.T, url string) *plainServer {
	t.Helper()
	conn, err := amqp.DialConfig(url, amqp.Config{Heartbeat: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	p := &goPublisher{reporter: reporter{new(output)}, conn: conn, blocks: conn.NotifyBlocked(make(chan amqp.Blocking, 2))}
	ended := make(chan struct{})
	kill := func() {
		_ = conn.Close()
		<-ended
	}
	go func() {
		defer close(ended)
		if err := p.run(); err != nil {
			p.report(event{Event: "failed: " + err.Error()})
		}
	}()
	t.Cleanup(kill)
	s := &plainServer{name: "amqp091-go", events: p.events, ended: ended, kill: kill}
	s.await(t, "ready", 1)
	return s
}

type goPublisher struct {
	reporter
	conn   *amqp.Connection
	blocks <-chan amqp.Blocking
}

func (p *goPublisher) run() error {
	ch, err := openConfirmed(p.conn)
	if err != nil {
		return err
	}
	queue, err := ch.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		return err
	}
	p.report(event{Event: "ready"})
	blocked, err := p.publishUntilBlocked(queue.Name)
	if err != nil {
		return err
	}
	p.report(event{Event: "blocked", Reason: blocked.Reason})
	if again, open := <-p.blocks; !open || again.Active {
		return errors.New("not unblocked")
	}
	p.report(event{Event: "unblocked"})
	if told, err := ch.outcome(queue.Name, amqp.Publishing{Body: []byte("x")}, true); err != nil || told != "confirmed" {
		return errors.Join(err, errors.New("the message was "+told))
	}
	p.report(event{Event: "confirmed"})
	if err := p.conn.Close(); err != nil {
		return err
	}
	p.report(event{Event: "closed"})
	return nil
}

// publishUntilBlocked uses a channel of its own, without confirms.
func (p *goPublisher) publishUntilBlocked(queue string) (amqp.Blocking, error) {
	ch, err := p.conn.Channel()
	if err != nil {
		return amqp.Blocking{}, err
	}
	for {
		if err := ch.PublishWithContext(context.Background(), "", queue, false, false, amqp.Publishing{}); err != nil {
			return amqp.Blocking{}, err
		}
		select {
		case blocked, open := <-p.blocks:
			if !open || !blocked.Active {
				return blocked, errors.New("the connection was closed")
			}
			return blocked, nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}
