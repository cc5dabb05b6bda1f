package broker

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// joined is a bundle as these tests write it: the bodies, with a comma between them.
func joined(msgs []*amqp.Publishing) amqp.Publishing {
	bodies := make([][]byte, len(msgs))
	for i, m := range msgs {
		bodies[i] = m.Body
	}
	return amqp.Publishing{Type: "bundle", Body: bytes.Join(bodies, []byte(","))}
}

// bundling is a publisher that bundles, on a session with a peer that remembers what it
// got.
type bundling struct {
	*published

	mu  sync.Mutex
	got []string // queue and body
}

func bundles(t *testing.T, answer func(p *peer, m message)) *bundling {
	t.Helper()
	b := &bundling{}
	b.published = connect(t, NewPublisher(PublisherConfig{Logger: silent, Bundle: joined}), func(p *peer, m message) {
		b.mu.Lock()
		b.got = append(b.got, m.key+" "+string(m.content))
		b.mu.Unlock()
		answer(p, m)
	})
	return b
}

func (b *bundling) wrote() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// send queues messages "queue body" while the publisher is held, so that they are in
// line together.
func (b *bundling) send(t *testing.T, messages ...string) []*refusable {
	t.Helper()
	b.Hold()
	defer b.Release()
	all := make([]*refusable, len(messages))
	for i, m := range messages {
		key, body, _ := strings.Cut(m, " ")
		one := &refusable{outcome: &outcome{ended: make(chan Result, 1)}}
		one.item = Publishing{Key: key, Mandatory: true, Bundle: true, Msg: amqp.Publishing{Body: []byte(body)}, Sink: one}
		all[i] = one
		if err := b.Publish(&one.item); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func wantAll(t *testing.T, what string, all []*refusable, result Result) {
	t.Helper()
	for i, one := range all {
		want(t, what, i, one.outcome, result)
	}
}

func numbered(key string, n, size int) []string {
	messages := make([]string, n)
	for i := range messages {
		messages[i] = fmt.Sprintf("%s %0*d", key, size, i)
	}
	return messages
}

func ackAll(p *peer, m message) { p.ack(m) }

func TestMessagesInLineForOneQueueGoOutTogether(t *testing.T) {
	t.Parallel()
	b := bundles(t, ackAll)
	wantAll(t, "in line", b.send(t, "a 1", "b 2", "a 3", "c 4", "b 5", "a 6"), Acked)
	if got, want := b.wrote(), []string{"a 1,3,6", "b 2,5", "c 4"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

func TestBundlesAreBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		messages []string
		want     []int // how many messages each bundle has
	}{
		"by number": {numbered("a", 40, 4), []int{16, 16, 8}},
		"by bytes":  {numbered("a", 20, 4<<10), []int{8, 8, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bundles(t, ackAll)
			wantAll(t, name, b.send(t, test.messages...), Acked)
			var got []int
			for _, body := range b.wrote() {
				got = append(got, strings.Count(body, ",")+1)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("bundles of %v; want %v", got, test.want)
			}
		})
	}
}

func TestMessagesThatAreNotToBeBundledGoOutAlone(t *testing.T) {
	t.Parallel()
	b := bundles(t, ackAll)
	b.Hold()
	first := b.send(t, "a 1", "a 2")
	b.Hold()
	one := &refusable{outcome: &outcome{ended: make(chan Result, 1)}}
	one.item = Publishing{Key: "a", Mandatory: true, Msg: amqp.Publishing{Body: []byte("alone")}, Sink: one}
	if err := b.Publish(&one.item); err != nil {
		t.Fatal(err)
	}
	other := &refusable{outcome: &outcome{ended: make(chan Result, 1)}}
	other.item = Publishing{Key: "a", Bundle: true, Msg: amqp.Publishing{Body: []byte("direct")}, Sink: other}
	if err := b.Publish(&other.item); err != nil {
		t.Fatal(err)
	}
	b.Release()
	wantAll(t, "all", append(first, one, other), Acked)
	if got, want := b.wrote(), []string{"a 1,2", "a alone", "a direct"}; !slices.Equal(sorted(got), want) {
		t.Errorf("%q; want %q", got, want)
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// Each message ends as what carries it.
func TestBundlesEndIsThatOfEachMessage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(p *peer, m message)
		want   Result
	}{
		"acked":    {ackAll, Acked},
		"nacked":   {func(p *peer, m message) { p.nack(m) }, Nacked},
		"returned": {func(p *peer, m message) { p.giveBack(m) }, Returned},
		"closed":   {func(p *peer, m message) { p.closeChannel(m.channel) }, Lost},
		"cut":      {func(p *peer, _ message) { p.conn.Close() }, Lost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bundles(t, test.answer)
			wantAll(t, name, b.send(t, "a 1", "a 2", "a 3"), test.want)
			if got, want := b.wrote(), []string{"a 1,2,3"}; !slices.Equal(got, want) {
				t.Errorf("%q; want %q", got, want)
			}
		})
	}
}

// Bundles for one queue look alike but for that.
func TestReturnedBundleIsNotTakenForAnother(t *testing.T) {
	t.Parallel()
	var first message
	b := bundles(t, func(p *peer, m message) {
		switch m.tag {
		case 1:
			first = m
		case 2:
			p.giveBack(m)
			p.ack(first)
		}
	})
	all := b.send(t, numbered("a", 2*mostBundled, 1)...)
	wantAll(t, "the first", all[:mostBundled], Acked)
	wantAll(t, "the second", all[mostBundled:], Returned)
}

// What the broker does not take together it may take one by one.
func TestRefusedBundleIsWrittenAgainOneByOne(t *testing.T) {
	t.Parallel()
	b := bundles(t, func(p *peer, m message) {
		if n := len(m.content); n > 8 {
			p.refuse(m.channel, 406, fmt.Sprintf("PRECONDITION_FAILED - message size %d is larger than configured max size 8", n))
			return
		}
		p.ack(m)
	})
	all := b.send(t, "a 1111", "a 2222", "a 333333333", "a 4444")
	for i, one := range all {
		result := Acked
		if i == 2 {
			result = Refused
		}
		want(t, "one by one", i, one.outcome, result)
	}
	if all[2].kind() != BodyTooLarge {
		t.Errorf("%v", all[2].reason)
	}
	if got, want := b.wrote()[1:], []string{"a 1111", "a 2222", "a 4444"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

// A bundle that the broker never looked at is taken apart, and its messages wait in line
// as before.
func TestUnseenBundleIsWrittenAgain(t *testing.T) {
	t.Parallel()
	b := bundles(t, func(p *peer, m message) {
		switch {
		case m.channel == 1 && m.tag == 1:
			p.refuse(m.channel, 406, "PRECONDITION_FAILED - message size 9 is larger than configured max size 8")
		case m.channel != 1:
			p.ack(m)
		}
	})
	all := b.send(t, "x 123456789", "a 1", "a 2")
	want(t, "too large", 0, all[0].outcome, Refused)
	wantAll(t, "after it", all[1:], Acked)
	if got := b.wrote(); got[len(got)-1] != "a 1,2" {
		t.Errorf("%q", got)
	}
}

// stubborn is a Sink that does not let its message out.
type stubborn struct{ *refusable }

func (stubborn) Writing(time.Time, *amqp.Publishing) bool { return false }

func TestWithdrawnMessagesAreLeftOutOfBundles(t *testing.T) {
	t.Parallel()
	b := bundles(t, ackAll)
	b.Hold()
	items := []*Publishing{}
	sinks := make([]*refusable, 5)
	for i := range sinks {
		sinks[i] = &refusable{outcome: &outcome{ended: make(chan Result, 1)}}
		item := &Publishing{Key: "a", Bundle: true, Msg: amqp.Publishing{Body: fmt.Append(nil, i)}, Sink: sinks[i]}
		if i == 3 {
			item.Sink = stubborn{sinks[i]}
		}
		items = append(items, item)
		if err := b.Publish(item); err != nil {
			t.Fatal(err)
		}
	}
	// It is in the bundle by the time it is withdrawn.
	taken := newBundler(b.Publisher).bundle(slices.Clone(items))
	if len(taken) != 1 || !items[1].Withdraw() {
		t.Fatalf("%d messages, or too late", len(taken))
	}
	var msg amqp.Publishing
	if !taken[0].Sink.Writing(time.Now(), &msg) || string(msg.Body) != "0,2,4" {
		t.Errorf("written: %q", msg.Body)
	}
	want(t, "not let out", 3, sinks[3].outcome, Unsent)
	taken[0].Sink.Settled(Acked, nil)
	for _, i := range []int{0, 2, 4} {
		want(t, "the others", i, sinks[i].outcome, Acked)
	}
	select {
	case r := <-sinks[1].ended:
		t.Errorf("the withdrawn message has ended as %v", r)
	default:
	}
}

// Of a bundle of which one message is left, that one is written as it is; of an empty one
// nothing.
func TestBundleOfOneIsNone(t *testing.T) {
	t.Parallel()
	b := newBundler(NewPublisher(PublisherConfig{Logger: silent, Bundle: joined}))
	for left := range 2 {
		items := make([]*Publishing, 3)
		for i := range items {
			items[i], _ = publishing(i)
			items[i].Bundle = true
		}
		taken := b.bundle(slices.Clone(items))
		for _, item := range items[left:] {
			item.Withdraw()
		}
		var msg amqp.Publishing
		if out := taken[0].Sink.Writing(time.Now(), &msg); out != (left == 1) || out && msg.CorrelationId != "0" {
			t.Errorf("%d left: %v, %+v", left, out, msg)
		}
	}
}

// A session that ends before a bundle is written leaves its messages in line.
func TestBundlesThatWereNotWrittenAreTakenApart(t *testing.T) {
	t.Parallel()
	p := NewPublisher(PublisherConfig{Logger: silent, Bundle: joined})
	items, fates := enqueue(t, p, 5)
	for _, item := range items[:4] {
		item.Bundle = true
	}
	p.putBack(newBundler(p).bundle(taken(p, window)))
	items[2].Withdraw()
	if got := taken(p, window); !slices.Equal(got, items) {
		t.Fatalf("%d messages, or others", len(got))
	}
	p.putBack(items)
	p.Close()
	for i, f := range fates {
		if n := f.settled.Load(); n != 1 && i != 2 || i == 2 && n != 0 || f.written.Load() != 0 {
			t.Errorf("message %d ended %d times, and was written %d times", i, n, f.written.Load())
		}
	}
}

// Under load, with a broker that answers as it likes, each message ends once, and as the
// broker has said of what it was in.
func TestBundledMessagesEndOnceUnderLoad(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	said := map[string]Result{}
	answers := map[Result]func(*peer, message){Acked: ackAll, Nacked: (*peer).nack, Returned: (*peer).giveBack}
	say := func(p *peer, m message, result Result) {
		mu.Lock()
		defer mu.Unlock()
		for id := range strings.SplitSeq(string(m.content), ",") {
			said[id] = result
		}
		answers[result](p, m)
	}
	n := 0
	b := bundles(t, func(p *peer, m message) {
		switch n++; {
		case n%11 == 3:
			say(p, m, Nacked)
		case n%7 == 5:
			say(p, m, Returned)
		case n%3 == 1:
			time.AfterFunc(time.Millisecond, func() { say(p, m, Acked) })
		default:
			say(p, m, Acked)
		}
	})
	var all []*outcome
	for i := range 2000 {
		o := &outcome{ended: make(chan Result, 1)}
		all = append(all, o)
		item := &Publishing{Key: fmt.Sprint("q", i%3), Mandatory: true, Bundle: i%5 != 0, Sink: o}
		item.Msg = amqp.Publishing{CorrelationId: fmt.Sprint(i), Body: fmt.Append(nil, i)}
		if err := b.Publish(item); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	ends := map[Result]int{}
	for i, o := range all {
		select {
		case r := <-o.ended:
			ends[r]++
			mu.Lock()
			if want := said[fmt.Sprint(i)]; r != want {
				t.Errorf("message %d has ended as %v; the broker has said %v", i, r, want)
			}
			mu.Unlock()
		case <-time.After(patience.Soon):
			t.Fatalf("message %d has not ended: %v", i, ends)
		}
	}
	for i, o := range all {
		if o.again.Load() {
			t.Errorf("message %d has ended twice", i)
		}
	}
	if ends[Acked] == 0 || ends[Nacked] == 0 || ends[Returned] == 0 {
		t.Errorf("%v", ends)
	}
}
