package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// refusable is a publish that a broker may refuse, and what becomes of it.
type refusable struct {
	*outcome
	item   Publishing
	reason error // set before the outcome is told
}

func (r *refusable) Settled(result Result, reason error) {
	r.reason = reason
	r.outcome.Settled(result, reason)
}

// publishThese queues messages at once, so that they share a channel.
func (r *published) publishThese(t *testing.T, messages ...amqp.Publishing) []*refusable {
	t.Helper()
	r.Hold()
	var all []*refusable
	for _, msg := range messages {
		one := &refusable{outcome: &outcome{ended: make(chan Result, 1)}}
		one.item = Publishing{Key: "m", Msg: msg, Sink: one}
		all = append(all, one)
		if err := r.Publish(&one.item); err != nil {
			t.Fatal(err)
		}
	}
	r.Release()
	return all
}

func sized(n int) amqp.Publishing          { return amqp.Publishing{Body: make([]byte, n)} }
func as(user string) amqp.Publishing       { return amqp.Publishing{UserId: user} }
func (r *refusable) kind() (k RefusalKind) { k, _ = kindOf(r.reason); return k }

func kindOf(err error) (RefusalKind, bool) {
	var r *RefusalError
	if !errors.As(err, &r) {
		return 0, false
	}
	return r.Kind, true
}

// A broker closes the channel over a message that it does not take. That one is
// found; what it has read before is unknown, and what came after was never read.
func TestRefusedPublishIsFoundAmongItsNeighbours(t *testing.T) {
	t.Parallel()
	const tooLarge = "PRECONDITION_FAILED - message size %d is larger than configured max size 100"
	const wrongUser = "PRECONDITION_FAILED - user_id property set to '%s' but authenticated user was 'me'"
	const noAccess = "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'me'"
	for name, test := range map[string]struct {
		messages []amqp.Publishing
		at       int // which of them is refused, from 0; those before are not confirmed
		code     uint16
		text     string
		want     []Result
		kind     RefusalKind
	}{
		"alone":          {[]amqp.Publishing{sized(101)}, 0, 406, fmt.Sprintf(tooLarge, 101), []Result{Refused}, BodyTooLarge},
		"in the midst":   {[]amqp.Publishing{sized(1), sized(100), sized(101), sized(100), sized(3)}, 2, 406, fmt.Sprintf(tooLarge, 101), []Result{Lost, Lost, Refused, Acked, Acked}, BodyTooLarge},
		"with others":    {[]amqp.Publishing{sized(1), sized(102), sized(101), sized(102), sized(3)}, 1, 406, fmt.Sprintf(tooLarge, 102), []Result{Lost, Refused, Refused, Refused, Acked}, BodyTooLarge},
		"another user":   {[]amqp.Publishing{as("me"), as("you"), as("him"), as("me"), as("")}, 1, 406, fmt.Sprintf(wrongUser, "you"), []Result{Lost, Refused, Refused, Acked, Acked}, NotPermitted},
		"no such size":   {[]amqp.Publishing{sized(1), sized(2)}, 1, 406, fmt.Sprintf(tooLarge, 101), []Result{Lost, Lost}, 0},
		"another reason": {[]amqp.Publishing{sized(1), sized(2)}, 1, 406, "PRECONDITION_FAILED - invalid expiration", []Result{Lost, Lost}, 0},
		"a long name":    {[]amqp.Publishing{as("me"), as(strings.Repeat("y", 255))}, 1, 406, fmt.Sprintf(wrongUser, strings.Repeat("y", 150))[:200] + "...", []Result{Lost, Lost}, 0},
		"no permission":  {[]amqp.Publishing{sized(1)}, 0, 403, noAccess, []Result{Refused}, NotPermitted},
		"none has it":    {[]amqp.Publishing{sized(1), sized(1)}, 0, 403, noAccess, []Result{Lost, Lost}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := connect(t, newPublisher(), func(p *peer, m message) {
				switch {
				case p.channels() > 1 && m.channel != 1:
					p.ack(m)
				case int(m.tag) == test.at+1:
					// RabbitMQ reads nothing more from the channel, whatever else has come.
					time.Sleep(10 * time.Millisecond)
					p.refuse(m.channel, test.code, test.text)
				}
			})
			for i, one := range r.publishThese(t, test.messages...) {
				want(t, name, i, one.outcome, test.want[i])
				if test.want[i] == Refused && one.kind() != test.kind {
					t.Errorf("message %d: %v is of kind %d", i, one.reason, one.kind())
				}
				if (i == test.at || test.want[i] == Refused) && !strings.Contains(fmt.Sprint(one.reason), test.text) {
					t.Errorf("message %d: the broker's words are not in %v", i, one.reason)
				}
			}
		})
	}
}

// What a refusal has taught is not asked again, on this session.
func TestRefusalsAreLearned(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) {
		if n := len(m.content); n > 100 {
			p.refuse(m.channel, 406, fmt.Sprintf("PRECONDITION_FAILED - message size %d is larger than configured max size 100", n))
			return
		}
		p.ack(m)
	})
	want(t, "the first", 0, r.publishThese(t, sized(101))[0].outcome, Refused)
	want(t, "a small one", 0, r.publishThese(t, sized(100))[0].outcome, Acked)
	opened := r.peer.channels()
	for range 10 {
		want(t, "a later one", 0, r.publishThese(t, sized(500))[0].outcome, Refused)
	}
	want(t, "a small one", 0, r.publishThese(t, sized(100))[0].outcome, Acked)
	if n := r.peer.channels(); n != opened || opened > 2 {
		t.Errorf("%d channels after one refusal, %d after eleven", opened, n)
	}
}

// One frame must hold the properties of a message, with room for what brokers add.
func TestHeadersThatDoNotFitIntoAFrameAreNotWritten(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) { p.ack(m) })
	const frame = 128 << 10 // the peer's
	fill := func(n int) amqp.Publishing {
		msg := amqp.Publishing{Headers: amqp.Table{"k": ""}}
		msg.Headers["k"] = strings.Repeat("v", n-headerFrame(&msg))
		return msg
	}
	want(t, "what just fits", 0, r.publishThese(t, fill(frame-brokerHeaders))[0].outcome, Acked)
	over := r.publishThese(t, fill(frame-brokerHeaders+1))[0]
	want(t, "one byte more", 0, over.outcome, Refused)
	if over.kind() != HeadersTooLarge || r.peer.channels() != 1 {
		t.Errorf("%v, on channel %d", over.reason, r.peer.channels())
	}
}

// The length is that of what the library writes, whatever is in the message.
func TestHeaderFrameIsMeasuredAsItIsWritten(t *testing.T) {
	t.Parallel()
	written := make(chan int, 1)
	r := connect(t, newPublisher(), func(p *peer, m message) {
		written <- len(m.header) + 8
		p.ack(m)
	})
	rng := rand.New(rand.NewPCG(1, 2))
	text := func() string { return strings.Repeat("x", rng.IntN(60)) }
	var value func(depth int) any
	value = func(depth int) any {
		plain := []any{
			nil, true, byte(1), int8(1), int16(1), uint16(1), 1, int32(1), uint32(1), int64(1), float32(1), float64(1),
			amqp.Decimal{Scale: 1, Value: 2}, text(), []byte(text()), time.Unix(1, 0),
		}
		switch n := rng.IntN(len(plain) + 2); {
		case n < len(plain) || depth > 3:
			return plain[n%len(plain)]
		case n == len(plain):
			return amqp.Table{"a": value(depth + 1), "bcd": value(depth + 1)}
		default:
			return []any{value(depth + 1), value(depth + 1), value(depth + 1)}
		}
	}
	for i := range 300 {
		msg := amqp.Publishing{
			ContentType: text(), ContentEncoding: text(), DeliveryMode: byte(rng.IntN(3)), Priority: byte(rng.IntN(2)),
			CorrelationId: text(), ReplyTo: text(), Expiration: text(), MessageId: text(), Type: text(), UserId: text(),
			AppId: text(), Body: []byte(text()),
		}
		if rng.IntN(2) == 0 {
			msg.Timestamp = time.Unix(2, 0)
		}
		if n := rng.IntN(5); n > 0 {
			msg.Headers = amqp.Table{}
			for j := range n {
				msg.Headers[fmt.Sprint("key", j)] = value(0)
			}
		}
		want(t, "measured", i, r.publishThese(t, msg)[0].outcome, Acked)
		if n := <-written; n != headerFrame(&msg) {
			t.Fatalf("%+v takes %d bytes; it was measured as %d", msg, n, headerFrame(&msg))
		}
	}
}

func BenchmarkLimitsCheck(b *testing.B) {
	for name, headers := range map[string]amqp.Table{"plain": nil, "traced": {"traceparent": strings.Repeat("t", 55), "tracestate": "a=b"}} {
		b.Run(name, func(b *testing.B) {
			limits := &limits{frame: 128 << 10}
			msg := amqp.Publishing{Headers: headers, CorrelationId: "0123", Type: "warren/1;k=call", ReplyTo: "warren:x"}
			b.ReportAllocs()
			for b.Loop() {
				if limits.check(&msg) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
