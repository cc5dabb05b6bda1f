package amqptest_test

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
)

// What happens to publishes: of requests by the client, and of replies by the server.

func TestCallWhoseRequestIsDroppedIsUnknownAtItsDeadline(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(requests, amqptest.Drop())
		began := time.Now()
		w.fails(warren.CodeDeadlineExceeded, "", warren.Unknown)
		if took := time.Since(began); took < timeout {
			w.t.Errorf("it gave up after %v", took)
		}
		w.ran(0, 0)
		w.settles()
	})
}

func TestRequestThatIsNeverConfirmedIsAnswered(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(requests, amqptest.NeverConfirm())
		w.answered("a")
		w.answered("b")
		w.ran(2, 2)
		w.settles()
	})
}

func TestNackedRequestIsUnknownOrSentAgainIfIdempotent(t *testing.T) {
	t.Run("once only", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.Nack())
			w.fails(warren.CodeDeadlineExceeded, warren.ReasonNacked, warren.Unknown)
			w.ran(0, 0)
			w.settles()
		})
	})
	t.Run("idempotent", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.Nack())
			w.answered("a", client.Idempotent())
			w.ran(1, 1)
			w.settles()
		})
	})
}

func TestReturnedRequestIsNoRouteAtOnce(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(requests, amqptest.Return())
		began := time.Now()
		w.fails(warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
		if took := time.Since(began); took != 0 {
			w.t.Errorf("it took %v", took)
		}
		w.ran(0, 0)
		w.settles()
	})
}

func TestDelayedRequestIsAnsweredUnlessItsDeadlinePasses(t *testing.T) {
	t.Run("within", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.Delay(8*time.Second))
			w.answered("a")
			w.ran(1, 1)
			w.settles()
		})
	})
	t.Run("beyond", func(t *testing.T) {
		inFixture(t, func(w *fixture) {
			w.meets(requests, amqptest.Delay(8*time.Second))
			w.fails(warren.CodeDeadlineExceeded, "", warren.Unknown, client.WithTimeout(3*time.Second))
			w.settles()
			w.ran(1, 1) // the call afterwards: no handler sees a request whose deadline has passed
		})
	})
}

func TestDuplicateRequestIsAnsweredOnce(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(requests, amqptest.Duplicate(1))
		w.answered("a")
		w.settles()
		// Without a store the server cannot know: the method is at least once.
		w.ran(3, 3)
		if s := w.c.Stats(); s.LateReplies != 1 {
			w.t.Errorf("%d replies were late", s.LateReplies)
		}
	})
}

func TestReorderedRequestsGetTheirOwnReplies(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(requests, amqptest.Reorder(time.Second))
		first := w.c.Go(w.t.Context(), "echo", []byte("first"))
		w.answered("second")
		if reply, err := first.Result(); err != nil || string(reply.Body) != "first" {
			w.t.Errorf("the first: %v, %v", reply, err)
		}
		w.ran(2, 2)
		w.settles()
	})
}

func TestDroppedReplyIsUnknownAndTheServerGoesOn(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(replies, amqptest.Drop())
		w.fails(warren.CodeDeadlineExceeded, "", warren.Unknown)
		w.answered("next")
		w.ran(2, 2)
		w.settles()
	})
}

func TestNackedReplyIsPublishedAgain(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(replies, amqptest.Nack())
		w.answered("a")
		w.ran(1, 1)
		w.settles()
	})
}

func TestReplyThatIsNeverConfirmedArrives(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(replies, amqptest.NeverConfirm())
		w.answered("a")
		w.answered("b")
		w.ran(2, 2)
		w.settles()
		// As far as the server knows.
		if s := w.s.Stats(); s.Undelivered != 1 {
			w.t.Errorf("%d replies were given up", s.Undelivered)
		}
	})
}

func TestReturnedReplyLetsTheRequestGo(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(replies, amqptest.Return())
		w.fails(warren.CodeDeadlineExceeded, "", warren.Unknown)
		w.ran(1, 1)
		w.settles()
		if s := w.s.Stats(); s.Unrouted != 1 {
			w.t.Errorf("%d replies were unrouted", s.Unrouted)
		}
	})
}

func TestDuplicateReplyIsDropped(t *testing.T) {
	inFixture(t, func(w *fixture) {
		w.meets(replies, amqptest.Duplicate(3))
		w.answered("a")
		w.settles()
		if s := w.c.Stats(); s.LateReplies != 3 {
			w.t.Errorf("%d replies were late", s.LateReplies)
		}
	})
}

func TestReorderedRepliesReachTheirCalls(t *testing.T) {
	for _, when := range []amqptest.When{replies, replied} {
		t.Run(when.Method, func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.meets(when, amqptest.Reorder(time.Second))
				first := w.c.Go(w.t.Context(), "echo", []byte("first"))
				w.answered("second")
				if reply, err := first.Result(); err != nil || string(reply.Body) != "first" {
					w.t.Errorf("the first: %v, %v", reply, err)
				}
				w.ran(2, 2)
				w.settles()
			})
		})
	}
}
