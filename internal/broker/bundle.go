package broker

import (
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// mostBundled is how many messages go into one at most. More gain little, and the
	// fate of one message would be that of too many.
	mostBundled = 16
	// bundleBytes bounds their bodies together.
	bundleBytes = 32 << 10
)

// bundle is a message that carries several others to one queue. What becomes of it
// becomes of each of them: it is the Sink of its own publish.
type bundle struct {
	publishing Publishing
	publisher  *Publisher
	members    []*Publishing
	bytes      int // of their bodies
}

// bundler puts messages that are in line for the same queue into bundles. Nothing waits
// for company: those that are written together anyway go in one message, with one
// confirm. It is of the writer's goroutine alone.
type bundler struct {
	publisher *Publisher
	places    map[string]int // by queue: the place of the last message or bundle that has room
}

func newBundler(p *Publisher) *bundler { return &bundler{publisher: p, places: map[string]int{}} }

// bundle returns the items with bundles in the place of the first message of each. It
// uses their slice.
func (b *bundler) bundle(items []*Publishing) []*Publishing {
	if b.publisher.encode == nil || len(items) < 2 {
		return items
	}
	clear(b.places)
	written := items[:0]
	for _, item := range items {
		if !item.Bundle {
			written = append(written, item)
			continue
		}
		place, ok := b.places[item.Key]
		if ok && b.join(&written[place], item) {
			continue
		}
		b.places[item.Key] = len(written)
		written = append(written, item)
	}
	clear(items[len(written):])
	return written
}

// join adds item to what stands in that place, a message or a bundle, and reports
// whether it had room.
func (b *bundler) join(place **Publishing, item *Publishing) bool {
	first := *place
	if first.Mandatory != item.Mandatory {
		return false
	}
	together := first.bundle
	bytes := len(first.Msg.Body)
	if together != nil {
		bytes = together.bytes
	}
	bytes += len(item.Msg.Body)
	if bytes > bundleBytes || together != nil && len(together.members) == mostBundled {
		return false
	}
	if together == nil {
		together = &bundle{publisher: b.publisher, members: append(make([]*Publishing, 0, mostBundled), first)}
		together.publishing = Publishing{Key: first.Key, Mandatory: first.Mandatory, Sink: together, bundle: together}
		*place = &together.publishing
	}
	together.members, together.bytes = append(together.members, item), bytes
	return true
}

// Writing implements Sink: it asks the members' Sinks, and leaves out who is withdrawn
// by now.
func (b *bundle) Writing(now time.Time, msg *amqp.Publishing) bool {
	var room [mostBundled]*amqp.Publishing
	msgs, members := room[:0], b.members[:0]
	for _, m := range b.members {
		if !m.state.CompareAndSwap(queued, writing) {
			continue
		}
		if !m.Sink.Writing(now, &m.Msg) {
			m.settle(Unsent, nil)
			continue
		}
		members, msgs = append(members, m), append(msgs, &m.Msg)
	}
	b.members = members
	switch len(msgs) {
	case 0:
		return false
	case 1:
		*msg = *msgs[0]
	default:
		*msg = b.publisher.encode(msgs)
		// All bundles for one queue look the same: a return must tell them apart.
		b.publisher.bundles++
		msg.MessageId = strconv.FormatUint(b.publisher.bundles, 36)
	}
	return true
}

// Settled implements Sink. What the broker does not take together is written again one
// by one: nobody has got it.
func (b *bundle) Settled(result Result, reason error) {
	if result != Refused || len(b.members) == 1 {
		for _, m := range b.members {
			m.settle(result, reason)
		}
		return
	}
	for _, m := range b.members {
		m.Bundle = false
	}
	b.publisher.putBack([]*Publishing{&b.publishing})
}

// unbundled returns the items with the members of bundles in their place, queued as
// they were. The broker has not looked at them.
func unbundled(items []*Publishing) []*Publishing {
	var single []*Publishing
	for i, item := range items {
		switch {
		case item.bundle != nil:
			if single == nil {
				single = append(make([]*Publishing, 0, len(items)+mostBundled), items[:i]...)
			}
			for _, m := range item.bundle.members {
				m.state.CompareAndSwap(writing, queued)
				single = append(single, m)
			}
		case single != nil:
			single = append(single, item)
		}
	}
	if single == nil {
		return items
	}
	return single
}

// each calls f with the messages that item consists of.
func (p *Publishing) each(f func(*Publishing)) {
	if p.bundle == nil {
		f(p)
		return
	}
	for _, m := range p.bundle.members {
		f(m)
	}
}
