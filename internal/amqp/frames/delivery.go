package frames

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Delivery is a message that the broker delivered.
type Delivery struct {
	Consumer             string // its tag; empty after a basic.get
	Tag                  uint64
	Exchange, RoutingKey string

	id uint64
}

// reading is the delivery whose header the library has got, and has not asked for more since.
type reading struct {
	mu      sync.Mutex
	method  []byte // the payload of basic.deliver or basic.get-ok; empty if the last method was another
	channel uint16 // of method
	id      uint64 // of the message, once its header was handed out, else 0
}

// maxDeliver bounds what announces a delivery.
const maxDeliver = 1 << 10

// takeMethod looks at the method frame that comes next.
func (r *Reader) takeMethod(channel uint16, size uint32) error {
	m := &r.reading
	m.mu.Lock()
	m.method = m.method[:0]
	m.mu.Unlock()
	if size < 4 || size > maxDeliver {
		return nil
	}
	frame, err := r.need(int(size) + codec.FrameOverhead)
	if err != nil {
		return err
	}
	const deliver, getOk = 60<<16 | 60, 60<<16 | 71
	payload := frame[headSize : len(frame)-1]
	if id := binary.BigEndian.Uint32(payload); id == deliver || id == getOk {
		m.mu.Lock()
		m.method, m.channel = append(m.method, payload...), channel
		m.mu.Unlock()
	}
	return nil
}

// suspected notes that the library is about to read a header, or reports that it has proven fatal before.
func (r *Reader) suspected(channel uint16, h *header) bool {
	m := &r.reading
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.method) == 0 || m.channel != channel {
		return false
	}
	id := h.identity()
	if r.fatal.Load().has(id) {
		return true
	}
	m.id = id
	return false
}

// acquit notes that the library asks for more.
func (r *Reader) acquit() {
	r.reading.mu.Lock()
	r.reading.id = 0
	r.reading.mu.Unlock()
}

// Unread returns the delivery whose header the library had got when it last read, nil if there is none: if the library
// has ended the connection by itself, this is why.
func (r *Reader) Unread() *Delivery {
	m := &r.reading
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id == 0 {
		return nil
	}
	decoded, err := codec.DecodeMethod(m.method)
	if err != nil {
		return &Delivery{id: m.id}
	}
	switch d := decoded.(type) {
	case *codec.BasicDeliver:
		return &Delivery{Consumer: d.ConsumerTag, Tag: d.DeliveryTag, Exchange: d.Exchange, RoutingKey: d.RoutingKey, id: m.id}
	case *codec.BasicGetOk:
		return &Delivery{Tag: d.DeliveryTag, Exchange: d.Exchange, RoutingKey: d.RoutingKey, id: m.id}
	}
	return &Delivery{id: m.id}
}

var seed = maphash.MakeSeed()

// identity is the same for each delivery of a message, for as long as this process lives: the broker may sort the
// headers, and counts deliveries in one of them.
func (h *header) identity() uint64 {
	id := maphash.Bytes(seed, h.fixed[:fixedSize-2]) + 3*maphash.Bytes(seed, h.before) + 5*maphash.Bytes(seed, h.after)
	for entries := h.table; len(entries) > 0; {
		key, size := firstEntry(entries)
		switch string(key) {
		case "x-delivery-count", "x-acquired-count":
		default:
			id += maphash.Bytes(seed, entries[:size])
		}
		entries = entries[size:]
	}
	return max(id, 1)
}

// Fatal are the messages that have ended connections, of all connections that share it. The zero value is ready. It is
// safe for concurrent use.
type Fatal struct {
	proven atomic.Int32 // how many have ended enough of them

	mu   sync.Mutex
	ends map[uint64]int
}

const (
	// enough ends of a connection are no accident: a write may fail while a header is being read.
	enough = 2
	// mostFatal bounds the memory. When there are more all are forgotten, and may prove it again.
	mostFatal = 1024
)

// Ended notes that a connection has ended on d, and reports whether the message is kept from those that follow.
func (f *Fatal) Ended(d *Delivery) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.ends[d.id]; f.ends == nil || !known && len(f.ends) >= mostFatal {
		f.ends = map[uint64]int{}
		f.proven.Store(0)
	}
	f.ends[d.id]++
	if f.ends[d.id] == enough {
		f.proven.Add(1)
	}
	return f.ends[d.id] >= enough
}

func (f *Fatal) has(id uint64) bool {
	if f == nil || f.proven.Load() == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ends[id] >= enough
}
