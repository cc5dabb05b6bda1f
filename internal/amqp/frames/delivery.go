package frames

import (
	amqp "github.com/rabbitmq/amqp091-go"
)

// Delivery is a message that the broker has delivered, whose headers are read when they are asked for. Its strings share
// memory: who keeps one for long clones it.
type Delivery struct {
	// Headers is empty before DecodeHeaders, and the Acknowledger always.
	amqp.Delivery

	entries string // of the header table
	has     bool   // a header table
	size    int    // of the properties
	flaw    string
}

// DecodeHeaders fills in the headers, within bounds: 32 tables and lists in one another, and 8,192 entries in each. If
// they break one, or are no AMQP, Unreadable says so, and the headers have no entry, but for an x-death without a value
// if the message may have been dead-lettered.
func (d *Delivery) DecodeHeaders() {
	if d.Headers != nil {
		return
	}
	if d.flaw == "" && d.has {
		d.Headers, d.flaw = readTable(d.entries, 0)
	}
	if d.flaw == "" {
		return
	}
	d.Headers = amqp.Table{}
	if !d.has || mayHave(d.entries, death) {
		d.Headers[death] = nil
	}
}

// HeaderSize is how many bytes of memory its strings share.
func (d *Delivery) HeaderSize() int { return d.size }

// Unreadable says, once the headers have been decoded, why they could not be, and is empty if they are what was sent.
// Headers above the size of a frame have their properties, malformed ones may have none.
func (d *Delivery) Unreadable() string { return d.flaw }
