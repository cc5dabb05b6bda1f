package broker

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// ledger is the broker's side of a channel: which deliveries it waits for. It
// keeps the error that RabbitMQ would have ended the channel with.
type ledger struct {
	mu           sync.Mutex
	outstanding  map[uint64]bool
	delivered    uint64
	acks         []string
	precondition error
	questions    int
	closed       atomic.Bool
}

// mostCome is more than comes in any of these tests.
const mostCome = 1000

// deliver hands out n more messages.
func (l *ledger) deliver(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outstanding == nil {
		l.outstanding = map[uint64]bool{}
	}
	for range n {
		l.delivered++
		l.outstanding[l.delivered] = true
	}
}

func (l *ledger) AppendAck(tag uint64, multiple bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = append(l.acks, fmt.Sprint(tag, multiple))
	if !l.outstanding[tag] {
		l.precondition = fmt.Errorf("PRECONDITION_FAILED - unknown delivery tag %d (multiple %v)", tag, multiple)
		return
	}
	for t := range l.outstanding {
		if t == tag || multiple && t < tag {
			delete(l.outstanding, t)
		}
	}
}

func (l *ledger) AppendNack(tag uint64, _, _ bool) { l.AppendAck(tag, false) }

func (l *ledger) Write() error { return nil }

// Ask is answered once all before it has been taken.
func (l *ledger) Ask() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.questions++
	return l.precondition
}

func (l *ledger) Closed() bool { return l.closed.Load() }

// left returns what has not been acknowledged, in order.
func (l *ledger) left() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	tags := []uint64{}
	for t := range l.outstanding {
		tags = append(tags, t)
	}
	slices.Sort(tags)
	return tags
}

// In whatever order handlers end and the writer comes by, the broker is told
// of exactly what is done: never of a delivery that is being worked on, and
// never of a tag that it does not wait for, which would end the channel.
func TestAcknowledgementsCoverExactlyWhatIsDone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var broker ledger
		a := newAcker(offline(&sink{}), &broker, 0, 0)
		a.came.Store(mostCome)
		var working, batch []uint64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				n := rapid.IntRange(1, 5).Draw(t, "deliveries")
				for i := range n {
					working = append(working, broker.delivered+uint64(i)+1)
				}
				broker.deliver(n)
			case 1, 2:
				if len(working) > 0 {
					i := rapid.IntRange(0, len(working)-1).Draw(t, "ends")
					batch = append(batch, working[i])
					working = slices.Delete(working, i, i+1)
				}
			case 3:
				a.now.done = batch
				a.append()
				batch = batch[:0]
			}
			want := append(slices.Clone(working), batch...)
			slices.Sort(want)
			if got := broker.left(); broker.precondition != nil || !slices.Equal(got, want) {
				t.Fatalf("after %v the broker waits for %v, and should for %v; %v", broker.acks, got, want, broker.precondition)
			}
		}
		a.now.done = append(batch, working...)
		a.append()
		if left := broker.left(); len(left) > 0 || broker.precondition != nil {
			t.Fatalf("after %v the broker waits for %v; %v", broker.acks, left, broker.precondition)
		}
		if len(a.state) != 0 || a.base != broker.delivered {
			t.Fatalf("the acker remembers %d tags after %d", len(a.state), a.base)
		}
	})
}

func TestAcknowledgementsAreFew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tell [][]uint64
		want []string
	}{
		"in order":                    {[][]uint64{{1, 2, 3}, {4}}, []string{"3 true", "4 true"}},
		"out of order":                {[][]uint64{{3, 1, 2}}, []string{"3 true"}},
		"a slow one":                  {[][]uint64{{2, 3}, {5}, {1}, {4}}, []string{"2 false", "3 false", "5 false", "1 true", "4 true"}},
		"the last told singly before": {[][]uint64{{3}, {1, 2}}, []string{"3 false", "2 true"}},
		"beyond one that was told":    {[][]uint64{{2}, {1, 3, 5}}, []string{"2 false", "3 true", "5 false"}},
		"nothing":                     {[][]uint64{{}}, nil},
		"twice, against the contract": {[][]uint64{{1, 1}, {1}, {3}, {3}, {2}, {2, 3}}, []string{"1 true", "3 false", "2 true"}},
	} {
		var broker ledger
		broker.deliver(5)
		a := newAcker(offline(&sink{}), &broker, 0, 0)
		a.came.Store(mostCome)
		for _, tags := range test.tell {
			a.now.done = tags
			a.append()
		}
		if !slices.Equal(broker.acks, test.want) || broker.precondition != nil {
			t.Errorf("%s: %q; want %q; %v", name, broker.acks, test.want, broker.precondition)
		}
	}
}

// observers counts what those who acknowledge are told.
type observers struct{ written, lost atomic.Int32 }

func (o *observers) Acked(written bool) {
	if written {
		o.written.Add(1)
	} else {
		o.lost.Add(1)
	}
}

func TestEveryObserverIsToldOnce(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 100
	var broker ledger
	var told observers
	broker.deliver(workers * each)
	session := offline(&sink{})
	a := newAcker(session, &broker, 0, 0)
	a.came.Store(mostCome)
	var working sync.WaitGroup
	for w := range workers {
		working.Go(func() {
			for i := range each {
				a.take()
				a.ack(uint64(i*workers+w+1), &told)
			}
		})
	}
	working.Wait()
	for a.outstanding() > 0 {
		<-a.idle
	}
	if left := broker.left(); len(left) > 0 || broker.precondition != nil {
		t.Errorf("the broker waits for %v; %v", left, broker.precondition)
	}
	if told.written.Load() != workers*each || told.lost.Load() != 0 {
		t.Errorf("%d written, %d lost", told.written.Load(), told.lost.Load())
	}
	a.stop()
	a.ack(1, &told)
	a.ack(2, nil)
	if told.lost.Load() != 1 || broker.precondition != nil {
		t.Errorf("after the end: %d lost; %v", told.lost.Load(), broker.precondition)
	}
}

// The tags of a channel that has ended may name other messages by now.
func TestNothingIsToldAfterTheChannelOrSessionEnded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *Session, l *ledger){
		"channel": func(_ *Session, l *ledger) { l.closed.Store(true) },
		"session": func(s *Session, _ *ledger) { s.Kill(errBroken) },
	} {
		synctest.Test(t, func(t *testing.T) {
			var broker ledger
			var told observers
			broker.deliver(3)
			session := offline(&sink{})
			a := newAcker(session, &broker, 0, 0)
			a.came.Store(mostCome)
			end(session, &broker)
			synctest.Wait()
			for tag := range uint64(3) {
				a.ack(tag+1, &told)
			}
			synctest.Wait()
			if told.lost.Load() != 3 || len(broker.acks) != 0 {
				t.Errorf("%s: %d lost, %q told", name, told.lost.Load(), broker.acks)
			}
			a.stop()
		})
	}
}

func TestFewAcknowledgementsWaitForMore(t *testing.T) {
	t.Parallel()
	const delay = 5 * time.Millisecond
	const enough = 16
	for name, test := range map[string]struct {
		acks        int
		least, most time.Duration
	}{
		"one": {1, delay, delay}, "few": {enough - 1, delay, delay}, "enough": {enough, 0, 0},
		"more": {2*enough + 1, 0, delay}, // the last of them may be few again
	} {
		synctest.Test(t, func(t *testing.T) {
			var broker ledger
			broker.deliver(test.acks)
			a := newAcker(offline(&sink{}), &broker, delay, enough)
			a.came.Store(mostCome)
			began := time.Now()
			for tag := range test.acks {
				a.take()
				a.ack(uint64(tag)+1, nil)
			}
			for a.outstanding() > 0 {
				<-a.idle
			}
			if took := time.Since(began); took < test.least || took > test.most || len(broker.left()) > 0 {
				t.Errorf("%s: told after %v; want %v to %v", name, took, test.least, test.most)
			}
			a.stop()
		})
	}
}

// What is done when the consumer is retired is still told, not delivered again.
func TestStopTellsWhatIsGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broker ledger
		var told observers
		broker.deliver(1)
		a := newAcker(offline(&sink{}), &broker, time.Hour, 64)
		a.came.Store(mostCome)
		a.ack(1, &told)
		synctest.Wait() // it gathers now
		began := time.Now()
		a.stop() // the channel is closed next
		if told.written.Load() != 1 || len(broker.left()) > 0 || time.Since(began) != 0 {
			t.Errorf("%d told after %v, %v left", told.written.Load(), time.Since(began), broker.left())
		}
	})
}

func TestAbandonedDeliveriesAreNeitherToldNorWaitedFor(t *testing.T) {
	t.Parallel()
	var broker ledger
	broker.deliver(2)
	a := newAcker(offline(&sink{}), &broker, 0, 0)
	a.came.Store(mostCome)
	a.take()
	a.take()
	a.abandon()
	if n := a.outstanding(); n != 1 {
		t.Fatalf("%d are outstanding", n)
	}
	a.ack(2, nil)
	<-a.idle
	a.stop()
	if got := broker.left(); a.outstanding() != 0 || !slices.Equal(got, []uint64{1}) || broker.precondition != nil {
		t.Fatalf("%d are outstanding, the broker waits for %v; %v", a.outstanding(), got, broker.precondition)
	}
}

// Who waits for the broker to have taken an acknowledgement hears of it after an
// answer that came later, and does not wait for others to be acknowledged.
func TestObserversOfConfirmedAcknowledgementsAreToldOnceTheBrokerHasTakenThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broker ledger
		var told observers
		broker.deliver(3)
		a := newAcker(offline(&sink{}), &broker, time.Hour, 64)
		a.came.Store(mostCome)
		a.ackConfirmed(1, &told)
		synctest.Wait()
		if told.written.Load() != 1 || broker.questions != 1 {
			t.Errorf("%d told after %d questions", told.written.Load(), broker.questions)
		}
		a.ackConfirmed(9, &told) // a tag that the broker does not know ends the channel
		synctest.Wait()
		if told.written.Load() != 1 || told.lost.Load() != 1 {
			t.Errorf("%d told, %d lost", told.written.Load(), told.lost.Load())
		}
		a.ack(2, &told)
		a.stop()
		if told.written.Load() != 2 || broker.questions != 2 {
			t.Errorf("%d told after %d questions", told.written.Load(), broker.questions)
		}
	})
}

// What was put back holds up no later acknowledgement, and none covers it before.
func TestWhatIsPutBackIsPassedOver(t *testing.T) {
	t.Parallel()
	var broker ledger
	broker.deliver(6)
	a := newAcker(offline(&sink{}), &broker, 0, 0)
	a.came.Store(6)
	for _, step := range []ackBatch{
		{done: []uint64{3}, requeued: []uint64{1, 4}}, {done: []uint64{2}}, {done: []uint64{5}}, {requeued: []uint64{6}}, {},
	} {
		a.now = step
		a.append()
	}
	want := []string{"3 false", "1 false", "4 false", "2 true", "5 true", "6 false"}
	if !slices.Equal(broker.acks, want) || broker.precondition != nil || len(broker.left()) > 0 {
		t.Errorf("%q; want %q; %v", broker.acks, want, broker.precondition)
	}
	if len(a.state) != 0 || a.base != 6 {
		t.Errorf("%d tags after %d are remembered", len(a.state), a.base)
	}
}

func TestTagThatNoDeliveryCanHaveTakesNoMemory(t *testing.T) {
	t.Parallel()
	var broker ledger
	a := newAcker(offline(&sink{}), &broker, 0, 0)
	broker.deliver(2)
	a.came.Store(3)
	a.now = ackBatch{done: []uint64{1 << 62, 1, 2}, requeued: []uint64{1 << 61}}
	a.append()
	if want := []string{fmt.Sprint(1<<62, " false"), "2 true", fmt.Sprint(1<<61, " false")}; !slices.Equal(broker.acks, want) || cap(a.state) > 1000 {
		t.Errorf("%q; want %q; %d tags are remembered", broker.acks, want, cap(a.state))
	}
}
