package amqptest

import (
	"slices"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// confirms counts the publishes of a channel in confirm mode, and gathers what is to be told of them.
type confirms struct {
	on    bool
	last  uint64              // the tag of the last publish
	open  map[uint64]struct{} // those whose fate is not known yet, or never will be
	acks  []uint64
	nacks []uint64
}

// count gives a publish its tag, 0 if it is not to be confirmed.
func (cf *confirms) count() uint64 {
	if !cf.on {
		return 0
	}
	cf.last++
	return cf.last
}

// never leaves a publish without a confirm.
func (cf *confirms) never(tag uint64) { cf.await(tag) }

// await notes that a publish will be confirmed out of turn.
func (cf *confirms) await(tag uint64) {
	if cf.open == nil {
		cf.open = map[uint64]struct{}{}
	}
	cf.open[tag] = struct{}{}
}

// settle notes a publish's fate, of which the client is told when there is nothing else to do.
func (ch *channel) settle(tag uint64, ack bool) {
	cf := &ch.confirms
	if tag == 0 || !cf.on {
		return
	}
	delete(cf.open, tag)
	if len(cf.acks)+len(cf.nacks) == 0 {
		ch.c.unsettled = append(ch.c.unsettled, ch)
	}
	if ack {
		cf.acks = append(cf.acks, tag)
	} else {
		cf.nacks = append(cf.nacks, tag)
	}
}

// tellConfirms tells the client what has been settled.
func (c *conn) tellConfirms() {
	for _, ch := range c.unsettled {
		ch.confirms.tell(ch)
	}
	clear(c.unsettled)
	c.unsettled = c.unsettled[:0]
}

// tell sends what RabbitMQ would: one confirm for all up to the first tag that is nacked or open, and one for each
// that remains. A tag that is settled alone gets a confirm of its own.
func (cf *confirms) tell(ch *channel) {
	if !cf.on {
		return
	}
	cutoff := cf.last + 1
	for tag := range cf.open {
		cutoff = min(cutoff, tag)
	}
	tellEach(cf.acks, cutoff, cf.nacks, func(tag uint64, multiple bool) {
		ch.put(&codec.BasicAck{DeliveryTag: tag, Multiple: multiple})
	})
	tellEach(cf.nacks, cutoff, cf.acks, func(tag uint64, multiple bool) {
		ch.put(&codec.BasicNack{DeliveryTag: tag, Multiple: multiple})
	})
	cf.acks, cf.nacks = cf.acks[:0], cf.nacks[:0]
}

// tellEach tells tags of one kind. None of those below the cutoff is open, and others is what is settled now, but not
// in this way.
func tellEach(tags []uint64, cutoff uint64, others []uint64, tell func(tag uint64, multiple bool)) {
	slices.Sort(tags)
	for _, other := range others {
		cutoff = min(cutoff, other)
	}
	together, _ := slices.BinarySearch(tags, cutoff)
	if together > 1 {
		tell(tags[together-1], true)
		tags = tags[together:]
	}
	for _, tag := range tags {
		tell(tag, false)
	}
}
