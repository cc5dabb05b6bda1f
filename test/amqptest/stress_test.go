package amqptest

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Whatever operators do at once, clients come back, and Close ends it all.
func TestOperatorsAndClientsDoNotWaitForEachOtherForEver(t *testing.T) {
	t.Parallel()
	b := New(t, Options{RecordLimit: 100})
	stop := make(chan struct{})
	var clients, operators sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					useForAWhile(b.URL(), stop)
				}
			}
		})
	}
	acts := []func(){
		func() { b.Restart(KeepMessages) },
		func() { b.Restart(LoseAll) },
		b.Sever,
		func() { b.CloseConnections("now and then") },
		func() { b.Block(""); time.Sleep(time.Millisecond); b.Unblock() },
		func() { b.CancelConsumers("/", "q") },
		func() { _ = b.DeleteQueue("/", "q") },
		func() {
			for _, c := range b.Connections() {
				if c.ID%2 == 0 {
					c.Sever()
				} else {
					c.Close("this one")
				}
			}
		},
	}
	for seed := range uint64(2) {
		operators.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 40 {
				acts[random.IntN(len(acts))]()
				time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
			}
		})
	}
	operators.Wait()
	close(stop)
	clients.Wait()
	serves(t, b)
	_ = b.Close()
	if n := b.receiving.Load() + b.outgoing.Load(); n != 0 {
		t.Errorf("%d bytes are reckoned that are gone", n)
	}
}

// useForAWhile publishes and consumes until something fails.
func useForAWhile(url string, stop <-chan struct{}) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) }()
	ch, err := conn.Channel()
	if err != nil || ch.Confirm(false) != nil {
		return
	}
	if _, err = ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		return
	}
	deliveries, err := ch.Consume("q", "", false, false, false, false, nil)
	if err != nil {
		return
	}
	for {
		if err := ch.Publish("", "q", true, false, amqp.Publishing{Body: make([]byte, 1000), DeliveryMode: amqp.Persistent}); err != nil {
			return
		}
		select {
		case d, open := <-deliveries:
			if !open || d.Ack(false) != nil {
				return
			}
		case <-time.After(10 * time.Millisecond):
		case <-stop:
			return
		}
	}
}
