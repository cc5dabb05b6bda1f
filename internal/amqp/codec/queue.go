package codec

// QueueDeclare makes a queue, or checks that one exists; without a name the broker gives it one.
type QueueDeclare struct {
	Queue                                           string
	Passive, Durable, Exclusive, AutoDelete, NoWait bool
	Arguments                                       Table
}

func (m *QueueDeclare) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Queue)
	f.bits(&m.Passive, &m.Durable, &m.Exclusive, &m.AutoDelete, &m.NoWait)
	f.table(&m.Arguments)
}

// QueueDeclareOk answers QueueDeclare; MessageCount counts what is ready for delivery.
type QueueDeclareOk struct {
	Queue                       string
	MessageCount, ConsumerCount uint32
}

func (m *QueueDeclareOk) walk(f fields) {
	f.shortstr(&m.Queue)
	f.long(&m.MessageCount)
	f.long(&m.ConsumerCount)
}

// QueueBind binds a queue to an exchange.
type QueueBind struct {
	Queue, Exchange, RoutingKey string
	NoWait                      bool
	Arguments                   Table
}

func (m *QueueBind) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Queue)
	f.shortstr(&m.Exchange)
	f.shortstr(&m.RoutingKey)
	f.bits(&m.NoWait)
	f.table(&m.Arguments)
}

// QueueBindOk answers QueueBind.
type QueueBindOk struct{}

// QueuePurge drops what is ready for delivery.
type QueuePurge struct {
	Queue  string
	NoWait bool
}

func (m *QueuePurge) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Queue)
	f.bits(&m.NoWait)
}

// QueuePurgeOk answers QueuePurge with how much was dropped.
type QueuePurgeOk struct {
	MessageCount uint32
}

func (m *QueuePurgeOk) walk(f fields) {
	f.long(&m.MessageCount)
}

// QueueDelete removes a queue.
type QueueDelete struct {
	Queue                     string
	IfUnused, IfEmpty, NoWait bool
}

func (m *QueueDelete) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Queue)
	f.bits(&m.IfUnused, &m.IfEmpty, &m.NoWait)
}

// QueueDeleteOk answers QueueDelete with how much was in the queue.
type QueueDeleteOk struct {
	MessageCount uint32
}

func (m *QueueDeleteOk) walk(f fields) {
	f.long(&m.MessageCount)
}

// QueueUnbind takes a QueueBind back.
type QueueUnbind struct {
	Queue, Exchange, RoutingKey string
	Arguments                   Table
}

func (m *QueueUnbind) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Queue)
	f.shortstr(&m.Exchange)
	f.shortstr(&m.RoutingKey)
	f.table(&m.Arguments)
}

// QueueUnbindOk answers QueueUnbind.
type QueueUnbindOk struct{}

func (*QueueBindOk) walk(fields)   {}
func (*QueueUnbindOk) walk(fields) {}
