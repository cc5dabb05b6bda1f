package codec

// BasicQos bounds how much a channel holds unacknowledged, 0 meaning no bound; RabbitMQ knows no PrefetchSize.
type BasicQos struct {
	PrefetchSize  uint32
	PrefetchCount uint16
	Global        bool
}

func (m *BasicQos) walk(f fields) {
	f.long(&m.PrefetchSize)
	f.short(&m.PrefetchCount)
	f.bits(&m.Global)
}

// BasicQosOk answers BasicQos.
type BasicQosOk struct{}

// BasicConsume subscribes to a queue; without a tag the broker gives it one.
type BasicConsume struct {
	Queue, ConsumerTag                string
	NoLocal, NoAck, Exclusive, NoWait bool
	Arguments                         Table
}

func (m *BasicConsume) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Queue)
	f.shortstr(&m.ConsumerTag)
	f.bits(&m.NoLocal, &m.NoAck, &m.Exclusive, &m.NoWait)
	f.table(&m.Arguments)
}

// BasicConsumeOk answers BasicConsume.
type BasicConsumeOk struct {
	ConsumerTag string
}

func (m *BasicConsumeOk) walk(f fields) {
	f.shortstr(&m.ConsumerTag)
}

// BasicCancel ends a subscription; from the broker it says that the queue is gone.
type BasicCancel struct {
	ConsumerTag string
	NoWait      bool
}

func (m *BasicCancel) walk(f fields) {
	f.shortstr(&m.ConsumerTag)
	f.bits(&m.NoWait)
}

// BasicCancelOk answers BasicCancel.
type BasicCancelOk struct {
	ConsumerTag string
}

func (m *BasicCancelOk) walk(f fields) {
	f.shortstr(&m.ConsumerTag)
}

// BasicPublish sends a message; content follows.
type BasicPublish struct {
	Exchange, RoutingKey string
	Mandatory, Immediate bool
}

func (m *BasicPublish) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Exchange)
	f.shortstr(&m.RoutingKey)
	f.bits(&m.Mandatory, &m.Immediate)
}

// BasicReturn gives a mandatory message back that no queue took; content follows.
type BasicReturn struct {
	ReplyCode                       uint16
	ReplyText, Exchange, RoutingKey string
}

func (m *BasicReturn) walk(f fields) {
	f.short(&m.ReplyCode)
	f.shortstr(&m.ReplyText)
	f.shortstr(&m.Exchange)
	f.shortstr(&m.RoutingKey)
}

// BasicDeliver brings a message to a consumer; content follows.
type BasicDeliver struct {
	ConsumerTag          string
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey string
}

func (m *BasicDeliver) walk(f fields) {
	f.shortstr(&m.ConsumerTag)
	f.longlong(&m.DeliveryTag)
	f.bits(&m.Redelivered)
	f.shortstr(&m.Exchange)
	f.shortstr(&m.RoutingKey)
}

// BasicGet asks for one message.
type BasicGet struct {
	Queue string
	NoAck bool
}

func (m *BasicGet) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Queue)
	f.bits(&m.NoAck)
}

// BasicGetOk answers BasicGet with a message and how many are left; content follows.
type BasicGetOk struct {
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey string
	MessageCount         uint32
}

func (m *BasicGetOk) walk(f fields) {
	f.longlong(&m.DeliveryTag)
	f.bits(&m.Redelivered)
	f.shortstr(&m.Exchange)
	f.shortstr(&m.RoutingKey)
	f.long(&m.MessageCount)
}

// BasicGetEmpty answers BasicGet for a queue that has nothing ready.
type BasicGetEmpty struct{}

func (*BasicGetEmpty) walk(f fields) {
	f.shortstr(nil)
}

// BasicAck acknowledges a delivery, or confirms a publish; with Multiple, all up to it.
type BasicAck struct {
	DeliveryTag uint64
	Multiple    bool
}

func (m *BasicAck) walk(f fields) {
	f.longlong(&m.DeliveryTag)
	f.bits(&m.Multiple)
}

// BasicReject refuses a delivery.
type BasicReject struct {
	DeliveryTag uint64
	Requeue     bool
}

func (m *BasicReject) walk(f fields) {
	f.longlong(&m.DeliveryTag)
	f.bits(&m.Requeue)
}

// BasicRecoverAsync is BasicRecover without an answer.
type BasicRecoverAsync struct {
	Requeue bool
}

func (m *BasicRecoverAsync) walk(f fields) {
	f.bits(&m.Requeue)
}

// BasicRecover asks for all that is unacknowledged to be delivered again.
type BasicRecover struct {
	Requeue bool
}

func (m *BasicRecover) walk(f fields) {
	f.bits(&m.Requeue)
}

// BasicRecoverOk answers BasicRecover.
type BasicRecoverOk struct{}

// BasicNack refuses deliveries, or tells a publisher that its message is lost, RabbitMQ's extension.
type BasicNack struct {
	DeliveryTag       uint64
	Multiple, Requeue bool
}

func (m *BasicNack) walk(f fields) {
	f.longlong(&m.DeliveryTag)
	f.bits(&m.Multiple, &m.Requeue)
}

func (*BasicQosOk) walk(fields)     {}
func (*BasicRecoverOk) walk(fields) {}
