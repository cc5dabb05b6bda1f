package broker

import (
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// outcome is a Sink whose end can be waited for.
type outcome struct {
	ended chan Result
	again atomic.Bool // it was settled more than once
}

func (o *outcome) Writing(time.Time, *amqp.Publishing) bool { return true }

func (o *outcome) Settled(result Result, _ error) {
	select {
	case o.ended <- result:
	default:
		o.again.Store(true)
	}
}

// publish puts n messages into the queue, with and without a body.
func (r *published) publish(t *testing.T, n int) []*outcome {
	t.Helper()
	outcomes := make([]*outcome, n)
	for i := range outcomes {
		outcomes[i] = &outcome{ended: make(chan Result, 1)}
		item := &Publishing{Key: "m" + strconv.Itoa(i%3), Mandatory: true, Sink: outcomes[i]}
		item.Msg = amqp.Publishing{CorrelationId: strconv.Itoa(i), Type: "warren/1;k=call", Body: make([]byte, i%2*100)}
		if err := r.Publish(item); err != nil {
			t.Fatal(err)
		}
	}
	return outcomes
}

// want demands that a message ended so, and once.
func want(t *testing.T, what string, i int, o *outcome, result Result) {
	t.Helper()
	select {
	case got := <-o.ended:
		if got != result || o.again.Load() {
			t.Fatalf("%s: message %d ended as %v (again: %v); want %v", what, i, got, o.again.Load(), result)
		}
	case <-time.After(patience.Soon):
		t.Fatalf("%s: message %d has not ended; want %v", what, i, result)
	}
}

func newPublisher() *Publisher { return NewPublisher(PublisherConfig{Logger: silent}) }

// The return of a message comes right before its confirm. Two readers would
// race, and an unroutable message would pass for one that the broker has taken.
func TestReturnedMessageIsNeverTakenForAcked(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) {
		if m.tag%2 == 0 {
			p.giveBack(m)
		} else {
			p.ack(m)
		}
	})
	for i, o := range r.publish(t, 2000) {
		result := Acked
		if i%2 == 1 {
			result = Returned
		}
		want(t, "every other one is returned", i, o, result)
	}
}

func TestOneConfirmMayStandForMany(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) {
		switch m.tag {
		case 10:
			p.confirm(m.channel, true, 10, 1)
		case 20:
			p.confirm(m.channel, false, 20, 1)
		}
	})
	for i, o := range r.publish(t, 20) {
		result := Acked
		if i >= 10 {
			result = Nacked
		}
		want(t, "tens are confirmed", i, o, result)
	}
}

// A channel that once was nacked may nack every later publish.
func TestNackedChannelIsReplaced(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) {
		if p.channels() == 1 && m.tag >= 3 {
			p.nack(m)
		} else {
			p.ack(m)
		}
	})
	for i, o := range r.publish(t, 3) {
		want(t, "the third is nacked", i, o, []Result{Acked, Acked, Nacked}[i])
	}
	for round := 0; r.peer.channels() < 2; round++ {
		if round > 100 {
			t.Fatal("the channel is not replaced")
		}
		<-r.publish(t, 1)[0].ended
	}
	for i, o := range r.publish(t, 10) {
		want(t, "on a new channel", i, o, Acked)
	}
}

// A channel that the broker closes says nothing of what was in flight on it, and
// does not keep what comes later.
func TestClosedChannelLosesOnlyWhatWasInFlight(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) {
		switch {
		case p.channels() > 1:
			p.ack(m)
		case m.tag == 1:
			p.ack(m)
		case m.tag == 3:
			p.closeChannel(m.channel)
		}
	})
	for i, o := range r.publish(t, 3) {
		want(t, "the channel is closed", i, o, []Result{Acked, Lost, Lost}[i])
	}
	for i, o := range r.publish(t, 10) {
		want(t, "on the next channel", i, o, Acked)
	}
}

func TestLostConnectionLosesWhatWasInFlightAndKeepsTheQueue(t *testing.T) {
	t.Parallel()
	p := newPublisher()
	written := make(chan struct{}, 10)
	first := connect(t, p, func(p *peer, m message) {
		if m.tag == 1 {
			p.ack(m)
		}
		written <- struct{}{}
	})
	outcomes := first.publish(t, 3)
	for range 3 {
		<-written
	}
	want(t, "before the cut", 0, outcomes[0], Acked)
	first.end()
	for i := 1; i < 3; i++ {
		want(t, "in flight at the cut", i, outcomes[i], Lost)
	}
	if up, _, _ := p.Up().Get(); up {
		t.Error("the publisher says that it is up")
	}
	waiting := first.publish(t, 5)
	connect(t, p, func(p *peer, m message) { p.ack(m) })
	for i, o := range waiting {
		want(t, "on the next connection", i, o, Acked)
	}
}

// Queues confirm at their own pace: one that is slow must not keep the others'
// messages open.
func TestConfirmsMayOvertakeOneAnother(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) {
		if m.tag%10 != 1 {
			p.ack(m)
		}
	})
	outcomes := r.publish(t, 50)
	for i, o := range outcomes {
		if i%10 != 0 {
			want(t, "confirmed", i, o, Acked)
		}
	}
	for i := 0; i < len(outcomes); i += 10 {
		select {
		case got := <-outcomes[i].ended:
			t.Fatalf("message %d, of which the broker has said nothing, ended as %v", i, got)
		default:
		}
	}
	r.end()
	for i := 0; i < len(outcomes); i += 10 {
		want(t, "never confirmed", i, outcomes[i], Lost)
	}
}

// More than the window is never unconfirmed.
func TestWriterWaitsForRoomInTheWindow(t *testing.T) {
	t.Parallel()
	var most atomic.Uint64
	full := make(chan message, 1)
	r := connect(t, newPublisher(), func(p *peer, m message) {
		most.Store(m.tag)
		if m.tag == window {
			full <- m
		}
		if m.tag > window {
			p.ack(m)
		}
	})
	outcomes := r.publish(t, window+100)
	last := <-full
	if n := most.Load(); n != window {
		t.Fatalf("%d are unconfirmed; at most %d may be", n, window)
	}
	r.peer.confirm(last.channel, true, last.tag, 1)
	for i, o := range outcomes {
		want(t, "after the wait", i, o, Acked)
	}
}

// A peer that confirms what was never published, twice, or gives back what
// nobody sent, harms nobody.
func TestLyingConfirmsHarmNobody(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) {
		p.confirm(m.channel, true, m.tag+1_000_000, 0)
		stranger := m
		stranger.key = "nobody's"
		stranger.tag = m.tag + 2_000_000
		p.giveBack(stranger)
		p.ack(m)
		p.nack(m)
	})
	for i, o := range r.publish(t, 200) {
		want(t, "between lies", i, o, Acked)
	}
}

// Nor must steady traffic put off the look at what has overtaken.
func TestTrafficDoesNotHoldUpConfirmsThatOvertook(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) {
		if m.tag > 1 {
			p.ack(m)
		}
	})
	r.publish(t, 1) // never confirmed
	second := r.publish(t, 1)[0]
	traffic := time.NewTicker(2 * time.Millisecond)
	defer traffic.Stop()
	for range 1500 { // the window has room for more than these
		select {
		case got := <-second.ended:
			if got != Acked {
				t.Fatalf("it ended as %v", got)
			}
			return
		case <-traffic.C:
			r.publish(t, 1)
		}
	}
	t.Fatal("a message that was confirmed at once is still open after 3 s of traffic")
}

// A queue that swallows a message must not keep later ones from being confirmed. While
// the broker blocks publishers it confirms nothing, which says nothing of the queue.
func TestPublishThatIsNotConfirmedKeepsItsChannelToItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var channels []uint16
		p := NewPublisher(PublisherConfig{Logger: silent, HoldWhenBlocked: true})
		r := connect(t, p, func(p *peer, m message) {
			channels = append(channels, m.channel)
			if len(channels) > 1 {
				p.ack(m)
			}
		})
		first := r.publish(t, 1)
		synctest.Wait()
		p.setBlocked(true, "memory")
		time.Sleep(confirmTimeout + slowConfirm)
		p.setBlocked(false, "")
		time.Sleep(slowConfirm - time.Second)
		want(t, "before the doubt", 0, r.publish(t, 1)[0], Acked)
		time.Sleep(2 * time.Second)
		want(t, "after the doubt", 0, r.publish(t, 1)[0], Acked)
		if len(channels) != 3 || channels[0] != channels[1] || channels[1] == channels[2] {
			t.Errorf("published on the channels %v", channels)
		}
		if len(first[0].ended) != 0 {
			t.Error("the first has ended before its time")
		}
		time.Sleep(confirmTimeout)
		want(t, "after the timeout", 0, first[0], Lost)
	})
}

// If the connection ended, it would not be known over which of two.
func TestSinglePublisherHasOneMessageUnderWayHoweverLongThatTakes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		confirm time.Duration // of the first message
		end     Result        // of that
		within  time.Duration // the second begins and ends
	}{
		"late":  {10 * time.Second, Acked, 10 * time.Second},
		"never": {time.Hour, Lost, confirmTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := connect(t, NewPublisher(PublisherConfig{Logger: silent, Single: true}), func(p *peer, m message) {
				if m.key == "m0" {
					time.AfterFunc(test.confirm, func() { p.ack(m) })
				} else {
					p.ack(m)
				}
			})
			outcomes := r.publish(t, 2)
			time.Sleep(test.within - time.Millisecond)
			synctest.Wait()
			if open := len(outcomes[0].ended) + len(outcomes[1].ended); open != 0 {
				t.Errorf("%s: %d have ended while the first was under way", name, open)
			}
			want(t, name, 0, outcomes[0], test.end)
			want(t, name, 1, outcomes[1], Acked)
		})
	}
}

// slow is a Sink that takes its time over the end.
type slow struct{ entered, leave chan struct{} }

func (s *slow) Writing(time.Time, *amqp.Publishing) bool { return true }

func (s *slow) Settled(Result, error) {
	close(s.entered)
	<-s.leave
}

func TestPublisherServesUntilNobodyIsBeingTold(t *testing.T) {
	t.Parallel()
	r := connect(t, newPublisher(), func(p *peer, m message) { p.ack(m) })
	s := &slow{make(chan struct{}), make(chan struct{})}
	if err := r.Publish(&Publishing{Key: "m", Sink: s}); err != nil {
		t.Fatal(err)
	}
	<-s.entered
	served := make(chan struct{})
	go func() {
		r.end()
		close(served)
	}()
	select {
	case <-served:
		t.Error("the publisher has left the session while a Sink was told")
	case <-time.After(50 * time.Millisecond):
	}
	close(s.leave)
	<-served
}
