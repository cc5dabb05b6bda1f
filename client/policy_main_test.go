package client_test

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// scripted is a server whose answers a test writes, as of any outcome. n counts
// the requests that it has got, from 1.
type scripted struct {
	r    *rig.Rig
	peer *rig.Peer
}

// script serves the queue: do is called for one request after the other.
func script(r *rig.Rig, queue string, do func(s *scripted, n int, d amqp.Delivery)) *scripted {
	r.T.Helper()
	p, requests := plainServer(r, queue)
	s := &scripted{r, p}
	go func() {
		n := 0
		for d := range requests {
			n++
			do(s, n, d)
		}
	}()
	return s
}

// answer replies as a server of Warren does that has executed the request.
func (s *scripted) answer(d amqp.Delivery) {
	s.send(d, wire.EncodeReply(requestOf(s.r.T, d), &warren.Reply{Body: d.Body}, wire.Transient, wire.DefaultLimits()))
}

// refuse replies with an error.
func (s *scripted) refuse(d amqp.Delivery, e *warren.Error) {
	s.send(d, wire.EncodeError(requestOf(s.r.T, d), e, wire.Transient))
}

// send replies unless the test has ended.
func (s *scripted) send(d amqp.Delivery, msg amqp.Publishing) {
	if s.r.T.Context().Err() == nil {
		_ = s.peer.Channel.PublishWithContext(s.r.T.Context(), "", d.ReplyTo, false, false, msg)
	}
}

// requestOf is what a reply takes from its request.
func requestOf(t *testing.T, d amqp.Delivery) *wire.Request {
	meta, err := wire.DecodeMeta(d.Type)
	if err != nil {
		t.Error(err)
	}
	return &wire.Request{
		Request: warren.Request{CallID: d.CorrelationId, Attempt: meta.Attempt, Issued: meta.Issued},
		Version: meta.Version, Nonce: meta.Nonce,
	}
}

// withoutNonce returns a request's metadata less what is different in each call.
func withoutNonce(typ string) string {
	before, _, _ := strings.Cut(typ, ";x")
	return before
}

// nonceOf returns what withoutNonce leaves out.
func nonceOf(typ string) string {
	_, nonce, _ := strings.Cut(typ, ";x")
	return strings.TrimPrefix(nonce, "=")
}

// refusal is the error of a server that refuses before the handler.
func refusal() *warren.Error {
	return &warren.Error{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, Message: "not now"}
}

// exact is the retry policy of tests that tell times: 100 ms, 200 ms, …
func exact(attempts int) reliability.RetryPolicy {
	return reliability.RetryPolicy{Attempts: &attempts, Jitter: new(false)}
}

// publishedAt are the times at which a queue's requests were published.
func publishedAt(b *amqptest.Broker, queue string, since time.Time) []time.Duration {
	var at []time.Duration
	for _, ev := range requests(b, queue) {
		at = append(at, ev.At.Sub(since))
	}
	return at
}

// breakerOf is a method's breaker in that client.
func breakerOf(c *client.Client, method string) *policy.Breaker {
	return c.Method(method).Breaker
}

// block has the broker block publishers for that long, and the client know of it:
// a connection is told when it publishes.
func block(r *rig.Rig, c *client.Client, d time.Duration) {
	r.T.Helper()
	r.Broker.Inject(amqptest.Rule{When: publishesTo("bait"), Do: amqptest.Block(d)})
	for range 2 {
		_ = c.Notify(r.T.Context(), "bait", nil, client.WithTimeout(time.Millisecond))
	}
	err := c.Notify(r.T.Context(), "bait", nil)
	rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonBlocked, warren.NotExecuted)
}
