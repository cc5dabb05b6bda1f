package codec

// ExchangeDeclare makes an exchange, or checks that one exists.
type ExchangeDeclare struct {
	Exchange, Type                                 string
	Passive, Durable, AutoDelete, Internal, NoWait bool
	Arguments                                      Table
}

func (m *ExchangeDeclare) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Exchange)
	f.shortstr(&m.Type)
	f.bits(&m.Passive, &m.Durable, &m.AutoDelete, &m.Internal, &m.NoWait)
	f.table(&m.Arguments)
}

// ExchangeDeclareOk answers ExchangeDeclare.
type ExchangeDeclareOk struct{}

// ExchangeDelete removes an exchange.
type ExchangeDelete struct {
	Exchange         string
	IfUnused, NoWait bool
}

func (m *ExchangeDelete) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Exchange)
	f.bits(&m.IfUnused, &m.NoWait)
}

// ExchangeDeleteOk answers ExchangeDelete.
type ExchangeDeleteOk struct{}

// ExchangeBind binds an exchange to another, RabbitMQ's extension.
type ExchangeBind struct {
	Destination, Source, RoutingKey string
	NoWait                          bool
	Arguments                       Table
}

func (m *ExchangeBind) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Destination)
	f.shortstr(&m.Source)
	f.shortstr(&m.RoutingKey)
	f.bits(&m.NoWait)
	f.table(&m.Arguments)
}

// ExchangeBindOk answers ExchangeBind.
type ExchangeBindOk struct{}

// ExchangeUnbind takes an ExchangeBind back.
type ExchangeUnbind struct {
	Destination, Source, RoutingKey string
	NoWait                          bool
	Arguments                       Table
}

func (m *ExchangeUnbind) walk(f fields) {
	f.short(nil)
	f.shortstr(&m.Destination)
	f.shortstr(&m.Source)
	f.shortstr(&m.RoutingKey)
	f.bits(&m.NoWait)
	f.table(&m.Arguments)
}

// ExchangeUnbindOk answers ExchangeUnbind; its number breaks the pattern.
type ExchangeUnbindOk struct{}

func (*ExchangeDeclareOk) walk(fields) {}
func (*ExchangeDeleteOk) walk(fields)  {}
func (*ExchangeBindOk) walk(fields)    {}
func (*ExchangeUnbindOk) walk(fields)  {}
