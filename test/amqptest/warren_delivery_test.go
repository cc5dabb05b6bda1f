package amqptest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
)

// What happens to deliveries, of requests to the server and of replies to the client, and to their acknowledgements.

func TestLostRequestDeliveryComesBackWithTheConnection(t *testing.T) {
	inFixture(t, func(w *fixture) {
		lost := w.meets(requested, amqptest.Drop())
		call := w.c.Go(w.t.Context(), "echo", []byte("a"))
		if err := lost.Wait(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.b.Sever()
		if reply, err := call.Result(); err != nil || string(reply.Body) != "a" {
			w.t.Errorf("%v, %v", reply, err)
		}
		w.ran(1, 1)
		w.settles()
	})
}

func TestLostReplyDeliveryIsUnknownAtTheDeadlineOrComesBack(t *testing.T) {
	t.Run("lost", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(replied, amqptest.Drop())
			w.fails(warren.CodeDeadlineExceeded, "", warren.Unknown)
			w.ran(1, 1)
			w.answered("next")
			w.b.Sever()
			w.settles()
		})
	})
	t.Run("brought back", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(replied, amqptest.Drop())
			call := w.c.Go(w.t.Context(), "echo", []byte("a"))
			synctest.Wait() // the server has acknowledged
			w.b.Sever()
			if reply, err := call.Result(); err != nil || string(reply.Body) != "a" {
				w.t.Errorf("%v, %v", reply, err)
			}
			w.ran(1, 1)
			w.settles()
		})
	})
}

func TestDelayedDeliveryIsAnsweredInTime(t *testing.T) {
	for name, when := range map[string]amqptest.When{"request": requested, "reply": replied} {
		t.Run(name, func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.meets(when, amqptest.Delay(8*time.Second))
				w.answered("a")
				w.ran(1, 1)
				w.settles()
			})
		})
	}
}

func TestDuplicateDeliveryDoesNotUpsetAcknowledgements(t *testing.T) {
	for name, test := range map[string]struct {
		when amqptest.When
		runs int
	}{
		"request": {requested, 2}, // at least once: there is no store
		"reply":   {replied, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.meets(test.when, amqptest.Duplicate(1))
				w.answered("a")
				w.settles()
				w.ran(1+test.runs, 1+test.runs)
				if s := w.c.Stats(); s.Reconnects != 0 {
					w.t.Errorf("the client has reconnected %d times", s.Reconnects)
				}
				if n := w.b.Count(amqptest.When{Method: "channel.close", Direction: amqptest.FromBroker}); n != 0 {
					w.t.Errorf("the broker has closed %d channels", n)
				}
			})
		})
	}
}

func TestReorderedRequestDeliveriesAreAnswered(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(requested, amqptest.Reorder(time.Second))
		first := w.c.Go(w.t.Context(), "echo", []byte("first"))
		w.answered("second")
		if reply, err := first.Result(); err != nil || string(reply.Body) != "first" {
			w.t.Errorf("the first: %v, %v", reply, err)
		}
		w.ran(2, 2)
		w.settles()
	})
}

func TestCancelledConsumersConsumeAgain(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requested, amqptest.CancelConsumer(""))
			w.answered("a")
			w.answered("b", client.WaitForServer())
			w.settles()
		})
	})
	t.Run("client", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(replied, amqptest.CancelConsumer(""))
			w.answered("a")
			w.answered("b")
			w.ran(2, 2)
			w.settles()
		})
	})
}

func TestLostAcknowledgementRepeatsNeitherTheHandlerNorTheReply(t *testing.T) {
	t.Run("dropped", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(serverAcks, amqptest.Drop())
			w.answered("a")
			time.Sleep(time.Second)
			w.b.Sever() // the request comes back, and is in time
			time.Sleep(timeout / 2)
			w.ran(1, 1)
			w.settles()
			if s := w.c.Stats(); s.LateReplies != 0 {
				w.t.Errorf("%d replies were late", s.LateReplies)
			}
		})
	})
	t.Run("severed", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(serverAcks, amqptest.SeverBefore())
			w.answered("a")
			time.Sleep(timeout / 2)
			w.ran(1, 1)
			w.settles()
		})
	})
	t.Run("severed after", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(serverAcks, amqptest.SeverAfter())
			w.answered("a")
			time.Sleep(timeout / 2)
			w.ran(1, 1)
			w.settles()
		})
	})
	t.Run("the client's", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(clientAcks, amqptest.SeverBefore())
			w.answered("a")
			time.Sleep(timeout / 2)
			w.ran(1, 1)
			w.settles()
			if s := w.c.Stats(); s.LateReplies != 1 {
				w.t.Errorf("%d replies were late", s.LateReplies)
			}
		})
	})
}
