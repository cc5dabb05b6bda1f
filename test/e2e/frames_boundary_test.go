package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// framesTime is for how long sessions are disturbed in each test. The variable is for more of them.
func framesTime(t *testing.T) time.Duration {
	t.Helper()
	given := os.Getenv("WARREN_FRAMES_TIME")
	if given == "" {
		return 8 * time.Second
	}
	d, err := time.ParseDuration(given)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mostFrames is more than a session has.
const mostFrames = 150

// disturbances are what happens between two frames of a session.
var disturbances = []struct {
	name   string
	do     func(*framesSession)
	gone   bool // the queue is
	unread bool // what was passed on may not be read
}{
	{name: "nothing", do: func(*framesSession) {}},
	{name: "cut", do: func(s *framesSession) { s.relay.cut() }},
	{name: "the broker closes the publishing channel", do: func(s *framesSession) { s.relay.inject = unknownAck(1) }},
	{name: "the broker closes the consuming channel", do: func(s *framesSession) { s.relay.inject = unknownAck(2) }},
	{name: "the broker closes the connection", do: func(s *framesSession) {
		s.relay.inject = codec.AppendFrame(nil, codec.Frame{Type: codec.FrameBody, Channel: 1})
	}},
	{name: "the queue is deleted", gone: true, do: func(s *framesSession) {
		_, _ = s.admin.QueueDelete(s.queue, false, false, false)
	}},
	{name: "this side closes the publishing channel", do: func(s *framesSession) {
		go func() {
			if ch := s.publishing.Load(); ch != nil {
				_ = ch.Close()
			}
		}()
	}},
	{name: "this side cancels the consumer", do: func(s *framesSession) {
		go s.cancel()
	}},
	{name: "this side closes the transport", unread: true, do: func(s *framesSession) {
		go func() { _ = s.frames.Close() }()
	}},
}

// unknownAck is what RabbitMQ closes a channel for.
func unknownAck(channel uint16) []byte {
	payload, err := codec.AppendMethod(nil, &codec.BasicAck{DeliveryTag: 1 << 40})
	if err != nil {
		panic(err)
	}
	return codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Channel: channel, Payload: payload})
}

// A session is disturbed before or after any of its frames, in either direction. What the handlers are told is what the
// broker said, all of it and nothing else, and what it has confirmed it has.
func TestNothingIsLostDoubledOrMistakenAtAnyFrame(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	base := rabbit.VHost(t)
	admin := adminChannel(t, base)
	counts := map[string]int{}
	for end := time.Now().Add(framesTime(t)); time.Now().Before(end) && !t.Failed(); {
		what := disturbances[rng.IntN(len(disturbances))]
		at, before, seed := 1+rng.IntN(mostFrames), rng.IntN(2) == 0, rng.Uint64()
		s := newFramesSession(t, admin, declared(t, admin), seed)
		opened := s.open(base, func(r *relay) { r.at, r.before, r.act = at, before, func() { what.do(s) } })
		s.close()
		if s.relay.count >= at {
			counts[what.name]++
		}
		s.check(what.unread)
		if !what.gone {
			s.checkKept()
			if _, err := admin.QueueDelete(s.queue, false, false, false); err != nil {
				t.Fatal(err)
			}
		}
		if t.Failed() {
			t.Logf("%s at frame %d of %d, before it: %v; seed %d; opening: %v", what.name, at, s.relay.count, before, seed, opened)
		}
	}
	t.Logf("disturbed: %v", counts)
}

// The broker blocks the connection at any frame, until it is told to go on.
func TestNothingIsLostWhereTheBrokerBlocks(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	node := rabbit.New(t, rabbit.Options{})
	admin := adminChannel(t, node.URL())
	sessions := 0
	for end := time.Now().Add(framesTime(t)); time.Now().Before(end) && !t.Failed(); sessions++ {
		at, seed := 1+rng.IntN(mostFrames), rng.Uint64()
		s := newFramesSession(t, admin, declared(t, admin), seed)
		freed := make(chan struct{})
		opened := s.open(node.URL(), func(r *relay) {
			r.at, r.act = at, func() {
				if err := node.MemoryAlarm(testContext(t), true); err != nil {
					t.Error(err)
				}
				go func() {
					defer close(freed)
					time.Sleep(patience.Times(20 * time.Millisecond))
					if err := node.MemoryAlarm(testContext(t), false); err != nil {
						t.Error(err)
					}
				}()
			}
		})
		s.close()
		if s.relay.count >= at {
			<-freed
		}
		s.check(false)
		s.checkKept()
		if t.Failed() || opened != nil {
			t.Errorf("blocked at frame %d of %d; seed %d; opening: %v", at, s.relay.count, seed, opened)
		}
	}
	t.Logf("%d sessions", sessions)
}

// adminChannel is a channel on a connection of its own.
func adminChannel(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// declared is a new queue.
func declared(t *testing.T, admin *amqp.Channel) string {
	t.Helper()
	name := fmt.Sprintf("frames.%x", rand.Uint64())
	if _, err := admin.QueueDeclare(name, false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	return name
}
