package interop

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rabbit"
)

// alarmed is a broker of a test's own that can be made to run low on memory.
type alarmed struct {
	url   string
	alarm func(t *testing.T, on bool)
}

func alarmedRabbitMQ(t *testing.T) alarmed {
	t.Helper()
	node := rabbit.New(t, rabbit.Options{})
	return alarmed{node.URL(), func(t *testing.T, on bool) {
		t.Helper()
		if err := node.MemoryAlarm(withPatience(t), on); err != nil {
			t.Fatal(err)
		}
	}}
}

func alarmedAmqptest(t *testing.T) alarmed {
	t.Helper()
	broker := amqptest.New(t, amqptest.Options{})
	return alarmed{broker.URL(), func(_ *testing.T, on bool) {
		if on {
			broker.Block("")
		} else {
			broker.Unblock()
		}
	}}
}

func TestBlockedPublisherIsToldAndGoesOnOnceUnblocked(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) alarmed{"RabbitMQ": alarmedRabbitMQ, "amqptest": alarmedAmqptest} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := start(t)
			publishers := []*plainServer{
				pika.report(t, "blocked", broker.url),
				amqplib.report(t, "blocked", broker.url),
				publishByGo(t, broker.url),
			}
			broker.alarm(t, true)
			for _, p := range publishers {
				if blocked := p.await(t, "blocked", 1); blocked.Reason != "low on memory" {
					t.Errorf("%s is blocked because of %q, want low on memory", p.name, blocked.Reason)
				}
			}
			// Blocked for longer than either side would wait for the other's heartbeats.
			time.Sleep(3 * time.Second)
			broker.alarm(t, false)
			for _, p := range publishers {
				p.await(t, "unblocked", 1)
				p.await(t, "confirmed", 1)
				p.await(t, "closed", 1)
				waitClosed(t, p.ended, p.name+" has ended")
			}
		})
	}
}
