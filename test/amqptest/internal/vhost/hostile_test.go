package vhost

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

// unhurried is what none of the large cases may take. On an idle core each takes
// a second, and several with the race detector; what grows with the square takes
// minutes.
var unhurried = patience.Soon

func quickly(t *testing.T, run func(t *testing.T)) {
	t.Helper()
	start := time.Now()
	run(t)
	took := time.Since(start)
	t.Logf("%v", took)
	if took > unhurried {
		t.Errorf("took %v", took)
	}
}

const many = 100_000

// TestReturningManyMessagesTakesTimeInProportion returns messages to where others
// that came back wait already, the worst there is for a list.
func TestReturningManyMessagesTakesTimeInProportion(t *testing.T) {
	for _, kind := range []string{typeClassic, typeQuorum} {
		for name, giveBack := range map[string]func(a, b *client){
			"two channels that had every other message": func(a, b *client) { a.Channel.Close(); b.Channel.Close() },
			"one by one": func(a, b *client) {
				for i := range a.got {
					a.nack(uint64(i+1), false, true)
				}
				b.Channel.Close()
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				quickly(t, func(t *testing.T) {
					a := alone(t)
					b := a.another()
					a.queue("q", argQueueType, kind)
					a.consume("q", "a")
					b.consume("q", "b")
					for i := range many {
						a.fill("q", strconv.Itoa(i))
					}
					same(t, "delivered", len(a.got)+len(b.got), many)
					a.blocked.Store(true)
					b.blocked.Store(true)
					giveBack(a, b)
					other := a.another()
					last := -1
					for i := range many {
						n, err := strconv.Atoi(string(other.get("q").Body))
						if err != nil || kind == typeClassic && n <= last {
							t.Fatalf("message %d is %d after %d (%v)", i, n, last, err)
						}
						last = n
					}
					same(t, "bytes left", a.host.Bytes(), 0)
				})
			})
		}
	}
}

func TestSettlingManyDeliveriesInAnyOrderTakesTimeInProportion(t *testing.T) {
	for name, tag := range map[string]func(i int) int{
		"first last": func(i int) int { return (i+1)%many + 1 },
		"scattered":  func(i int) int { return i*7919%many + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			quickly(t, func(t *testing.T) {
				c := alone(t)
				c.queue("q")
				c.consume("q", "c")
				for range many {
					c.fill("q", "m")
				}
				for i := range many {
					c.ack(uint64(tag(i)))
				}
				same(t, "unacked", len(c.unacked), 0)
				same(t, "bytes left", c.host.Bytes(), 0)
			})
		})
	}
}

func TestExchangeCyclesEnd(t *testing.T) {
	t.Parallel()
	quickly(t, func(t *testing.T) {
		c := alone(t)
		const n = 2000
		name := func(i int) string { return fmt.Sprint("x", i%n) }
		for i := range n {
			c.exchange(name(i), kindDirect, argAlternateExchange, name(i+1))
		}
		if c.send(name(0), "k", "m", codec.Properties{}).Routed {
			t.Error("routed to nowhere")
		}
		c.queue("q")
		c.bind("q", name(n-1), "k")
		if !c.send(name(0), "k", "m", codec.Properties{}).Routed {
			t.Error("not routed along the alternates")
		}
		for i := range n {
			c.exchange("f"+name(i), kindFanout)
		}
		for i := range n {
			c.ok(c.ExchangeBind(&codec.ExchangeBind{Source: "f" + name(i), Destination: "f" + name(i+1)}))
			c.ok(c.ExchangeBind(&codec.ExchangeBind{Source: "f" + name(i+1), Destination: "f" + name(i)}))
		}
		c.bind("q", "f"+name(n/2), "")
		c.send("f"+name(0), "", "around", codec.Properties{})
		same(t, "bodies", c.bodies("q"), "m around")
	})
}

// TestDeadLetterCycleOfExpiriesEnds: without a client a message comes to each
// queue once.
func TestDeadLetterCycleOfExpiriesEnds(t *testing.T) {
	t.Parallel()
	c := alone(t)
	for i, name := range []string{"a", "b", "c"} {
		c.queue(name, argMessageTTL, int32(0), argDeadLetterExchange, "", argDeadLetterRoutingKey, []string{"b", "c", "a"}[i])
	}
	for _, name := range []string{"a", "b", "c"} {
		for range 1000 {
			c.fill(name, "m")
		}
		same(t, "bytes left", c.host.Bytes(), 0)
	}
	for _, overflow := range []string{"drop-head", overflowRejectDeadLetter} {
		name := func(i int) string { return overflow + strconv.Itoa(i%3) }
		for i := range 3 {
			c.queue(name(i), argMaxLength, int32(1), argOverflow, overflow, argDeadLetterExchange, "", argDeadLetterRoutingKey, name(i+1))
		}
		for range 1000 {
			c.fill(name(0), "m")
		}
		for i := range 3 {
			same(t, name(i), c.bodies(name(i)), "m")
		}
	}
	same(t, "bytes left", c.host.Bytes(), 0)
}

func TestManyRoutingKeys(t *testing.T) {
	t.Parallel()
	quickly(t, func(t *testing.T) {
		c := alone(t)
		const n, queues = 10_000, 2000
		var keys []any
		for i := range n {
			name := fmt.Sprint("q.", i)
			keys = append(keys, name)
			if i >= queues {
				continue
			}
			c.queue(name)
			c.bind(name, "amq.fanout", "")
			c.bind(name, "amq.direct", name)
		}
		for i := range 100 {
			c.bind(fmt.Sprint("q.", i), "amq.topic", "#.nothing.#")
		}
		for _, x := range []string{"", "amq.direct", "amq.fanout", "amq.topic"} {
			c.send(x, "q.0", "m", withHeaders(headerCC, keys))
		}
		for i := range queues {
			if got := c.bodies(fmt.Sprint("q.", i)); got != "m m m" {
				t.Fatalf("queue %d has %q", i, got)
			}
		}
		for i := range queues {
			_, err := c.QueueDelete(&codec.QueueDelete{Queue: fmt.Sprint("q.", i)})
			c.ok(err)
		}
	})
}

func TestTopicPatternsDoNotBacktrackForEver(t *testing.T) {
	t.Parallel()
	quickly(t, func(t *testing.T) {
		key := words(strings.Repeat("a.", 127) + "c")
		for _, pattern := range []string{
			"a.#.#.#.#.#.#.#.#.#.#.#.b", strings.Repeat("#.a.", 60) + "b", strings.Repeat("#.*.", 60) + "b", strings.Repeat("#.", 120) + "b",
		} {
			for range 1000 {
				if matchWords(words(pattern), key) {
					t.Fatal(pattern)
				}
			}
		}
	})
}

func TestManyHeaders(t *testing.T) {
	t.Parallel()
	quickly(t, func(t *testing.T) {
		c := alone(t)
		var pairs []any
		for i := range 1 << 14 {
			pairs = append(pairs, fmt.Sprint("h", i), int32(1))
		}
		c.queue("q")
		c.bind("q", "amq.headers", "", pairs...)
		for range 10 {
			c.send("amq.headers", "", "m", withHeaders(pairs...))
		}
		same(t, "matches", len(strings.Fields(c.bodies("q"))), 10)
	})
}
