package amqptest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
)

// What happens to connections, to channels and to the broker.

func TestSeveredPublishIsUnknownOrSentAgainIfIdempotent(t *testing.T) {
	t.Run("before, once only", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.SeverBefore())
			w.fails(warren.CodeDeadlineExceeded, warren.ReasonConnectionLost, warren.Unknown)
			w.ran(0, 0)
			w.settles()
		})
	})
	t.Run("before, idempotent", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.SeverBefore())
			w.answered("a", client.Idempotent())
			w.ran(1, 1)
			w.settles()
		})
	})
	t.Run("after, once only", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.SeverAfter())
			w.answered("a")
			w.ran(1, 1)
			w.settles()
		})
	})
	t.Run("after, idempotent", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.SeverAfter())
			w.answered("a", client.Idempotent())
			w.ran(1, 2)
			w.settles()
		})
	})
}

func TestSeveredDeliveryAndReplyAreAnswered(t *testing.T) {
	for name, test := range map[string]struct {
		when amqptest.When
		do   amqptest.Action
		most int // runs
	}{
		"request before":      {requested, amqptest.SeverBefore(), 1},
		"request after":       {requested, amqptest.SeverAfter(), 2},
		"reply before":        {replies, amqptest.SeverBefore(), 2},
		"reply after":         {replies, amqptest.SeverAfter(), 2},
		"its delivery before": {replied, amqptest.SeverBefore(), 1},
		"its delivery after":  {replied, amqptest.SeverAfter(), 1},
	} {
		t.Run(name, func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.meets(test.when, test.do)
				w.answered("a")
				w.settles()
				w.ran(2, 1+test.most)
			})
		})
	}
}

func TestCorruptFramesOnlyCostTheConnection(t *testing.T) {
	for name, when := range map[string]amqptest.When{
		"request": requested,
		"reply":   replied,
		"confirm": {Method: "basic.ack", Direction: amqptest.FromBroker, ConnName: "client*"},
	} {
		t.Run(name, func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.meets(when, amqptest.Corrupt())
				w.answered("a")
				w.settles()
				w.ran(2, 3)
			})
		})
	}
}

func TestHalfOpenConnectionIsReplacedAfterItsHeartbeats(t *testing.T) {
	for name, test := range map[string]struct {
		when amqptest.When
		most int
	}{
		// The reply comes with a new connection. The client notices within two heartbeats, which is its deadline.
		"client that publishes": {requests, 1},
		"client that receives":  {replied, 1},
		// The request is another's at once; there is no other, so it waits for the server.
		"server that receives":  {requested, 2},
		"server that publishes": {replies, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.meets(test.when, amqptest.HalfOpen())
				began := time.Now()
				reply, err := w.c.Call(w.t.Context(), "echo", []byte("a"), client.WithTimeout(10*timeout))
				if err != nil || string(reply.Body) != "a" {
					w.t.Errorf("%v, %v", reply, err)
				}
				if took := time.Since(began); took > 3*heartbeat {
					w.t.Errorf("it took %v", took)
				}
				w.ran(1, test.most)
				w.settles()
			})
		})
	}
	t.Run("deadline first", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(replied, amqptest.Drop(), amqptest.HalfOpen())
			began := time.Now()
			w.fails(warren.CodeDeadlineExceeded, "", warren.Unknown, client.WithTimeout(time.Second))
			if took := time.Since(began); took > time.Second+slack {
				w.t.Errorf("it took %v", took)
			}
			w.settles()
		})
	})
}

func TestBlockedBrokerRefusesCallsOnceTheClientKnows(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.hold = make(chan struct{})
		first := w.c.Go(context.Background(), "echo", []byte("body"))
		synctest.Wait() // the handler runs
		w.b.Block("")
		time.AfterFunc(time.Minute, w.b.Unblock)
		close(w.hold)
		// The server cannot publish its reply, and the client learns of the alarm when it publishes under it.
		_, err := first.Result()
		isError(w.t, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		w.fails(warren.CodeDeadlineExceeded, "", warren.Unknown)
		began := time.Now()
		w.fails(warren.CodeUnavailable, warren.ReasonBlocked, warren.NotExecuted)
		if took := time.Since(began); took != 0 {
			w.t.Errorf("it took %v", took)
		}
		w.settles()
		w.ran(2, 2) // the first one and the one afterwards: the second has outlived its deadline
	})
}

func TestStalledBrokerHoldsUpNoCallBeyondItsDeadline(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(requests, amqptest.StallReading(0))
		w.answered("a")
		began := time.Now()
		w.fails(warren.CodeDeadlineExceeded, "", warren.Unknown, client.WithTimeout(time.Second))
		if took := time.Since(began); took > time.Second+slack {
			w.t.Errorf("it took %v", took)
		}
		// Heartbeats still come, so the client cannot know that its connection is of no use.
		w.b.Sever()
		w.settles()
	})
}

func TestRestartedBrokerAnswersWhatItKept(t *testing.T) {
	t.Run("keeping messages", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.Restart(amqptest.KeepMessages, 3*time.Second))
			w.answered("a")
			w.ran(1, 2) // the server may have had it already
			w.settles()
		})
	})
	// The request is lost with its delivery.
	t.Run("losing messages", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requested, amqptest.Drop(), amqptest.Restart(amqptest.LoseMessages, 3*time.Second))
			// The confirm may have come before the end.
			_, err := w.call("a")
			if e, ok := warren.AsError(err); !ok || e.Code != warren.CodeDeadlineExceeded || e.Outcome != warren.Unknown {
				w.t.Errorf("error is %v", err)
			}
			w.ran(0, 0)
			w.settles()
		})
	})
	t.Run("losing messages before the confirm", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.SeverBefore(), amqptest.Restart(amqptest.LoseMessages, 3*time.Second))
			w.answered("a", client.Idempotent())
			w.ran(1, 1)
			w.settles()
		})
	})
	t.Run("losing all", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requested, amqptest.Drop(), amqptest.Restart(amqptest.LoseAll, 3*time.Second))
			w.fails(warren.CodeUnavailable, warren.ReasonReplyQueueLost, warren.Unknown)
			w.ran(0, 0)
			w.settles()
		})
	})
	t.Run("while the handler runs", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.hold = make(chan struct{})
			call := w.c.Go(w.t.Context(), "echo", []byte("a"))
			synctest.Wait()
			w.b.Restart(amqptest.KeepMessages)
			time.Sleep(time.Second)
			close(w.hold)
			if reply, err := call.Result(); err != nil || string(reply.Body) != "a" {
				w.t.Errorf("%v, %v", reply, err)
			}
			w.ran(1, 2)
			w.settles()
		})
	})
}

func TestClosedChannelIsReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		when amqptest.When
		runs int
	}{
		"request":              {requested, 1},
		"reply":                {replied, 1},
		"publish of the reply": {replies, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.meets(test.when, amqptest.CloseChannel(406, byFault))
				w.answered("a")
				w.settles()
				w.ran(2, 1+test.runs)
			})
		})
	}
	t.Run("publish of the request", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.CloseChannel(406, byFault))
			w.fails(warren.CodeDeadlineExceeded, warren.ReasonConnectionLost, warren.Unknown)
			w.answered("a")
			w.meets(requests, amqptest.CloseChannel(406, byFault))
			w.answered("b", client.Idempotent())
			w.ran(2, 2)
			w.settles()
		})
	})
	t.Run("access refused", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.CloseChannel(403, byFault))
			w.fails(warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
			w.ran(0, 0)
			w.settles()
		})
	})
}

func TestClosedConnectionIsReplaced(t *testing.T) {
	for name, when := range map[string]amqptest.When{"request": requested, "reply": replied, "publish of the reply": replies} {
		t.Run(name, func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.meets(when, amqptest.CloseConnection(320, byFault))
				w.answered("a")
				w.settles()
				w.ran(2, 3)
			})
		})
	}
	t.Run("publish of the request", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.CloseConnection(320, byFault))
			w.fails(warren.CodeDeadlineExceeded, warren.ReasonConnectionLost, warren.Unknown)
			w.meets(requests, amqptest.CloseConnection(320, byFault))
			w.answered("a", client.Idempotent())
			w.ran(1, 1)
			w.settles()
		})
	})
}
