package amqptest

import (
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Direction says who sent what an Event tells of.
type Direction uint8

// The directions. In a When the zero value matches both.
const (
	FromClient Direction = iota + 1
	FromBroker
)

func (d Direction) String() string {
	switch d {
	case FromClient:
		return "from-client"
	case FromBroker:
		return "from-broker"
	default:
		return "either"
	}
}

// Event is one thing that passed between a client and the broker: an AMQP method
// with its content, a heartbeat, or a single frame. Fields that the method does
// not have are zero.
type Event struct {
	// Seq numbers the events of a broker from 1, in the order in which they were
	// looked at. Events of one connection and direction keep their order.
	Seq uint64
	At  time.Time

	// Conn numbers the connections of a broker from 1 in the order of accepting
	// them. ConnName is what the client calls the connection (connection_name in
	// its properties), once known.
	Conn     int
	ConnName string
	User     string
	VHost    string

	Direction Direction
	Channel   uint16

	// Method is the method's name as in the specification, "basic.publish"; or
	// "heartbeat"; or, for a single frame, "frame.method", "frame.header",
	// "frame.body" or "frame.heartbeat".
	Method string

	Queue       string
	Exchange    string
	RoutingKey  string
	ConsumerTag string
	DeliveryTag uint64 // of a delivery, an ack, a confirm
	Multiple    bool
	Redelivered bool
	Mandatory   bool
	ReplyCode   uint16 // of a close or a return
	ReplyText   string

	// Message is the content of basic.publish, basic.deliver, basic.return and
	// basic.get-ok, else nil. It must not be changed.
	Message *Message

	// Size is the length of the method with its content, or of the frame, in bytes
	// on the wire.
	Size int

	// Faults names the faults that met it, in the order of their rules.
	Faults []string

	// What Message is made of, once somebody asks.
	props *codec.Properties
	body  []byte
	// What the record reckons it at, once it has it.
	cost int64
}

// Message is what a client published. Header values are those of AMQP's tables
// as Go has them: bool, the integers from int8 to int64 and uint8 to uint32,
// float32, float64 (also decimals), string, []byte, time.Time, nil, []any,
// map[string]any.
type Message struct {
	ContentType     string
	ContentEncoding string
	Headers         map[string]any
	DeliveryMode    uint8
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string
	MessageID       string
	Timestamp       time.Time
	Type            string
	UserID          string
	AppID           string
	Body            []byte
}
