package amqptest

// watch numbers and records an event and asks the rules about it. It is called
// for every method with its content and every heartbeat: FromClient before it is
// executed, FromBroker before it is written. It may sleep in a user's function,
// so no lock is held. Events are made by the connection's source.
func (b *Broker) watch(ev *Event) verdict { return verdict{} }

// watchesFrames says whether a rule asks about single frames; watchFrame is
// called for them only then. Of its verdict, drop, delay, copies, corrupt and
// severing count.
func (b *Broker) watchesFrames() bool { return false }

func (b *Broker) watchFrame(ev *Event) verdict { return verdict{} }
