package broker

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// whims answers publishes as a broker may, and remembers what it has said of whom.
type whims struct {
	mu    sync.Mutex
	rand  *rand.Rand
	lives map[uint16]*life // the last of each channel
	said  map[string]Result
}

// life is a channel from its opening to its end.
type life struct {
	open   []message // not answered
	closed bool
}

// answer is called for each message, in the order of their coming.
func (w *whims) answer(p *peer, m message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.tag == 1 {
		w.lives[m.channel] = &life{}
	}
	l := w.lives[m.channel]
	if l.closed {
		return
	}
	say := func(result Result) { w.said[string(m.content)] = result }
	switch n := w.rand.IntN(400); {
	case n < 2:
		l.closed = true
		p.closeChannel(m.channel)
	case n < 4:
		w.catchUp(p, l)
		say(Nacked)
		p.nack(m)
	case n < 30:
		say(Returned)
		p.giveBack(m)
	case n < 250:
		say(Acked)
		p.ack(m)
	default:
		l.open = append(l.open, m)
		time.AfterFunc(time.Millisecond, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.catchUp(p, l)
		})
	}
}

// catchUp acknowledges at once what is open.
func (w *whims) catchUp(p *peer, l *life) {
	if l.closed || len(l.open) == 0 {
		return
	}
	for _, m := range l.open {
		w.said[string(m.content)] = Acked
	}
	last := l.open[len(l.open)-1]
	p.confirm(last.channel, true, last.tag, 1)
	l.open = nil
}

// Whatever the broker answers, in whatever order, each message ends once, as the broker
// has said of it, or as lost if that said nothing.
func TestEveryPublishEndsAsTheBrokerHasSaid(t *testing.T) {
	t.Parallel()
	const publishers, each = 4, 1500
	w := &whims{rand: rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano()))), lives: map[uint16]*life{}, said: map[string]Result{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	here, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r := connectBy(t, here, there, newPublisher(), w.answer)
	ends := make([]*outcome, publishers*each)
	var publishing sync.WaitGroup
	for n := range publishers {
		publishing.Go(func() {
			for i := n * each; i < (n+1)*each; i++ {
				id := strconv.Itoa(i)
				ends[i] = &outcome{ended: make(chan Result, 1)}
				item := &Publishing{Key: "m", Mandatory: true, Sink: ends[i], Msg: amqp.Publishing{CorrelationId: id, Body: []byte(id)}}
				if err := r.Publish(item); err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	publishing.Wait()
	lost := 0
	for i, o := range ends {
		var got Result
		select {
		case got = <-o.ended:
		case <-time.After(patience.Soon):
			t.Fatalf("message %d has not ended", i)
		}
		w.mu.Lock()
		said, answered := w.said[strconv.Itoa(i)]
		w.mu.Unlock()
		if !answered {
			said = Lost
			lost++
		}
		if got != said || o.again.Load() {
			t.Errorf("message %d ended as %v (again: %v); the broker has said: %v", i, got, o.again.Load(), said)
		}
	}
	if lost == 0 || lost == len(ends) {
		t.Errorf("%d messages were lost", lost)
	}
}
