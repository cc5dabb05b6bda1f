package frames

import (
	"sync"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Unread is a delivery on which the library has ended the connection.
type Unread struct {
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

// forget notes that another method has come.
func (m *reading) forget() {
	m.mu.Lock()
	m.method = m.method[:0]
	m.mu.Unlock()
}

// announced notes the method that comes before a header.
func (m *reading) announced(channel uint16, payload []byte) {
	m.mu.Lock()
	m.method, m.channel = append(m.method, payload...), channel
	m.mu.Unlock()
}

// header notes that the library is about to read a header, or reports that it has proven fatal before.
func (m *reading) header(channel uint16, h *header, known *Fatal) (fatal bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.method) == 0 || m.channel != channel {
		return false
	}
	id := h.identity()
	if known.has(id) {
		return true
	}
	m.id = id
	return false
}

// passed notes that the library asks for more.
func (m *reading) passed() {
	m.mu.Lock()
	m.id = 0
	m.mu.Unlock()
}

// delivery returns the delivery, nil if the library reads none.
func (m *reading) delivery() *Unread {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id == 0 {
		return nil
	}
	decoded, err := codec.DecodeMethod(m.method)
	if err != nil {
		return &Unread{id: m.id}
	}
	switch d := decoded.(type) {
	case *codec.BasicDeliver:
		return &Unread{Consumer: d.ConsumerTag, Tag: d.DeliveryTag, Exchange: d.Exchange, RoutingKey: d.RoutingKey, id: m.id}
	case *codec.BasicGetOk:
		return &Unread{Tag: d.DeliveryTag, Exchange: d.Exchange, RoutingKey: d.RoutingKey, id: m.id}
	}
	return &Unread{id: m.id}
}
