package broker

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// fate is a Sink that keeps what became of a publish.
type fate struct {
	written atomic.Int32
	settled atomic.Int32
	result  Result
	reason  error
}

func (f *fate) Writing(time.Time, *amqp.Publishing) bool {
	f.written.Add(1)
	return true
}

func (f *fate) Settled(result Result, reason error) {
	f.result, f.reason = result, reason
	f.settled.Add(1)
}

func publishing(n int) (*Publishing, *fate) {
	f := &fate{}
	return &Publishing{Key: "m", Msg: amqp.Publishing{CorrelationId: strconv.Itoa(n)}, Sink: f}, f
}

// lineUp publishes n messages and returns them.
func enqueue(t *testing.T, p *Publisher, n int) ([]*Publishing, []*fate) {
	t.Helper()
	items, fates := make([]*Publishing, n), make([]*fate, n)
	for i := range items {
		items[i], fates[i] = publishing(i)
		if err := p.Publish(items[i]); err != nil {
			t.Fatal(err)
		}
	}
	return items, fates
}

func checkFates(t *testing.T, what string, fates []*fate, result Result, reason error) {
	t.Helper()
	for i, f := range fates {
		if f.settled.Load() != 1 || f.result != result || !errors.Is(f.reason, reason) || f.written.Load() != 0 {
			t.Fatalf("%s: message %d ended %d times as %v, %v, written %d times; want once as %v, %v, never written",
				what, i, f.settled.Load(), f.result, f.reason, f.written.Load(), result, reason)
		}
	}
}

// taken is what the publisher lets out now.
func taken(p *Publisher, most int) []*Publishing {
	items, _ := p.take(most)
	return items
}

func TestMessagesAreTakenInTheirOrder(t *testing.T) {
	t.Parallel()
	p := NewPublisher(PublisherConfig{Logger: silent})
	items, _ := enqueue(t, p, writeBatch+100)
	if got := taken(p, 10); !slices.Equal(got, items[:10]) {
		t.Fatalf("%d messages, or others", len(got))
	}
	// What was not written on one session is written first on the next.
	p.putBack(items[4:10])
	if got := taken(p, window); !slices.Equal(got, items[4:4+writeBatch]) {
		t.Fatalf("%d messages, or others", len(got))
	}
	if got := taken(p, window); !slices.Equal(got, items[4+writeBatch:]) {
		t.Fatalf("%d messages, or others", len(got))
	}
	if got := taken(p, window); got != nil {
		t.Fatalf("%d messages out of nothing", len(got))
	}
}

// Putting back must not write over what is still queued.
func TestPuttingBackKeepsWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	p := NewPublisher(PublisherConfig{Logger: silent})
	items, _ := enqueue(t, p, 20)
	took := taken(p, 8)
	later, _ := enqueue(t, p, 5)
	p.putBack(took[3:])
	if got := taken(p, window); !slices.Equal(got, append(slices.Clone(items[3:]), later...)) {
		t.Fatalf("%d messages, or in another order", len(got))
	}
}

func TestHeldPublisherWaitsForItsRelease(t *testing.T) {
	t.Parallel()
	p := NewPublisher(PublisherConfig{Logger: silent, Held: true})
	items, fates := enqueue(t, p, 3)
	if got := taken(p, window); got != nil {
		t.Fatalf("%d messages were let out", len(got))
	}
	p.Release()
	if got := taken(p, window); !slices.Equal(got, items) || fates[0].settled.Load() != 0 {
		t.Fatalf("%d messages after the release", len(got))
	}
	select {
	case <-p.wake:
	default:
		t.Fatal("the writer was not woken")
	}
}

func TestBlockedPublisherRefusesOrHolds(t *testing.T) {
	t.Parallel()
	refuses := NewPublisher(PublisherConfig{Logger: silent})
	_, fates := enqueue(t, refuses, 3)
	refuses.setBlocked(true, "memory")
	checkFates(t, "blocked", fates, Unsent, ErrBlocked)
	item, f := publishing(9)
	if err := refuses.Publish(item); !errors.Is(err, ErrBlocked) || f.settled.Load() != 0 {
		t.Fatalf("Publish: %v, settled %d times", err, f.settled.Load())
	}
	if blocked, why := refuses.Blocked(); !blocked || why != "memory" {
		t.Fatalf("Blocked: %v, %q", blocked, why)
	}
	refuses.setBlocked(false, "")
	if err := refuses.Publish(item); err != nil {
		t.Fatal(err)
	}

	holds := NewPublisher(PublisherConfig{Logger: silent, HoldWhenBlocked: true})
	items, fates := enqueue(t, holds, 3)
	holds.setBlocked(true, "disk")
	more, _ := enqueue(t, holds, 1)
	if got := taken(holds, window); got != nil || fates[0].settled.Load() != 0 {
		t.Fatalf("%d messages were let out", len(got))
	}
	holds.setBlocked(false, "")
	if got := taken(holds, window); !slices.Equal(got, append(items, more...)) {
		t.Fatalf("%d messages after the block", len(got))
	}
}

func TestClosedPublisherEndsWhatIsQueued(t *testing.T) {
	t.Parallel()
	p := NewPublisher(PublisherConfig{Logger: silent})
	_, fates := enqueue(t, p, 5)
	took := taken(p, 2)
	p.Close()
	checkFates(t, "queued", fates[2:], Unsent, ErrClosed)
	p.putBack(took)
	checkFates(t, "put back", fates[:2], Unsent, ErrClosed)
	item, f := publishing(9)
	if err := p.Publish(item); !errors.Is(err, ErrClosed) || f.settled.Load() != 0 {
		t.Fatalf("Publish: %v, settled %d times", err, f.settled.Load())
	}
	p.Close()
}

func TestWithdrawnMessageIsNeverSettled(t *testing.T) {
	t.Parallel()
	p := NewPublisher(PublisherConfig{Logger: silent})
	items, fates := enqueue(t, p, 2)
	if !items[0].Withdraw() || items[0].Withdraw() {
		t.Fatal("a queued message can be taken back, once")
	}
	p.Close()
	if fates[0].settled.Load() != 0 || fates[1].settled.Load() != 1 {
		t.Fatalf("settled %d and %d times", fates[0].settled.Load(), fates[1].settled.Load())
	}
	if items[1].Withdraw() {
		t.Fatal("a message that has ended was taken back")
	}
}

func TestMessageThatWasWithdrawnBeforeIsNotQueued(t *testing.T) {
	t.Parallel()
	p := NewPublisher(PublisherConfig{Logger: silent, Held: true})
	item, fate := publishing(0)
	if !p.Withdraw(item) {
		t.Error("it is not withdrawn")
	}
	if err := p.Publish(item); err != nil || len(p.items) > 0 || fate.settled.Load() > 0 {
		t.Errorf("%v; %d are queued", err, len(p.items))
	}
}

// While there is no connection nothing takes messages out of the queue but those
// who give up.
func TestQueueDoesNotFillWithWhatWasWithdrawn(t *testing.T) {
	t.Parallel()
	p := NewPublisher(PublisherConfig{Logger: silent, Held: true})
	kept, _ := enqueue(t, p, 10)
	for range 1000 {
		items, _ := enqueue(t, p, 10)
		for _, item := range items {
			if !p.Withdraw(item) || p.Withdraw(item) {
				t.Fatal("a queued message can be taken back, once")
			}
		}
	}
	if n := len(p.items); n > 10*len(kept) {
		t.Errorf("the queue has %d messages, of which %d are wanted", n, len(kept))
	}
	p.Release()
	var left []*Publishing
	for items := taken(p, window); items != nil; items = taken(p, window) {
		for _, item := range items {
			if item.state.Load() == queued {
				left = append(left, item)
			}
		}
	}
	if !slices.Equal(left, kept) {
		t.Errorf("%d messages are left, or in another order; want the %d that are wanted", len(left), len(kept))
	}
}

// A caller that gives up, a broker that blocks, a publisher that closes and an
// answer may all come at the same instant: the message ends once.
func TestMessageEndsOnceWhoeverEndsIt(t *testing.T) {
	t.Parallel()
	for range 300 {
		p := NewPublisher(PublisherConfig{Logger: silent})
		items, fates := enqueue(t, p, 4)
		var withdrawn atomic.Int32
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for _, end := range []func(){
			p.Close,
			func() { p.setBlocked(true, "") },
			func() { p.putBack(taken(p, 2)) },
			func() { items[0].settle(Acked, nil); items[1].settle(Returned, nil) },
			func() {
				for _, item := range items {
					if item.Withdraw() {
						withdrawn.Add(1)
					}
				}
			},
		} {
			wg.Go(func() { <-begin; end() })
		}
		close(begin)
		wg.Wait()
		p.Close()
		settled := int32(0)
		for i, f := range fates {
			if n := f.settled.Load(); n > 1 {
				t.Fatalf("message %d ended %d times", i, n)
			}
			settled += f.settled.Load()
		}
		if settled+withdrawn.Load() != int32(len(items)) {
			t.Fatalf("of %d messages %d were settled and %d withdrawn", len(items), settled, withdrawn.Load())
		}
	}
}

// A message that is being written cannot be taken back: its outcome is open.
func TestMessageThatIsBeingWrittenIsNotTakenBack(t *testing.T) {
	t.Parallel()
	for range 1000 {
		item, f := publishing(1)
		var taken, began atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() { taken.Store(item.Withdraw()) })
		wg.Go(func() {
			if item.state.CompareAndSwap(queued, writing) {
				began.Store(true)
				item.settle(Lost, nil)
			}
		})
		wg.Wait()
		if taken.Load() == began.Load() || began.Load() != (f.settled.Load() == 1) {
			t.Fatalf("withdrawn %v, written %v, settled %d times", taken.Load(), began.Load(), f.settled.Load())
		}
	}
}

func TestReturnEndsTheOldestMessageThatItCanBe(t *testing.T) {
	t.Parallel()
	var items []*Publishing
	var fates []*fate
	for i, id := range []string{"a", "b", "b", "b"} {
		item, f := publishing(i)
		item.Msg.CorrelationId, item.Msg.Type = id, "warren/1;k=call"
		items, fates = append(items, item), append(fates, f)
		item.state.Store(writing)
	}
	items[3].Key = "other"
	c := &publishChannel{}
	for _, item := range items {
		c.open.add(item)
	}
	for range 3 {
		c.Returned(&amqp.Return{RoutingKey: "m", CorrelationId: "b", Type: "warren/1;k=call"})
	}
	c.Returned(&amqp.Return{RoutingKey: "m", CorrelationId: "a", Type: "other"})
	c.Returned(&amqp.Return{RoutingKey: "nowhere", CorrelationId: "a", Type: "warren/1;k=call"})
	if fates[0].settled.Load()+fates[3].settled.Load() != 0 {
		t.Error("a message ended by another's return")
	}
	for i := 1; i <= 2; i++ {
		if fates[i].settled.Load() != 1 || fates[i].result != Returned {
			t.Errorf("message %d ended %d times as %v", i, fates[i].settled.Load(), fates[i].result)
		}
	}
	if c.open.open != len(items) {
		t.Error("a message that was returned is no longer in flight, although its confirm is to come")
	}
}

func TestWindowBoundsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	c := &publishChannel{p: &Publisher{}}
	for i := range window {
		if room := c.room(); room != window-i {
			t.Fatalf("room for %d with %d in flight", room, i)
		}
		item, _ := publishing(i)
		c.open.add(item)
	}
	if room := c.room(); room != 0 || !c.full {
		t.Fatalf("room for %d", room)
	}
}
