package amqptest

import "github.com/warren-rpc/warren/internal/amqp/codec"

// execute does what a method asks for. The decision may be nil.
func (c *conn) execute(in *inbound, dec *decision) {
	switch {
	case c.done || c.state == stateEnded:
	case in.channel == 0:
		c.executeConnection(in.method)
	case c.state != stateRunning:
	case in.ch == nil:
		if m, ok := in.method.(*codec.ChannelOpen); ok {
			c.openChannel(in.channel, m)
		}
	case c.channels[in.channel] == in.ch: // unless a fault has closed it meanwhile
		in.ch.execute(in, dec)
	}
}

// executeConnection does what a method on channel 0 asks for, if it may ask for it now.
func (c *conn) executeConnection(m codec.Method) {
	switch m := m.(type) {
	case *codec.ConnectionStartOk:
		if c.state == stateStarting {
			c.startOk(m)
			return
		}
	case *codec.ConnectionTuneOk:
		if c.state == stateTuning {
			c.tuneOk(m)
			return
		}
	case *codec.ConnectionOpen:
		if c.state == stateOpening {
			c.open(m)
			return
		}
	case *codec.ConnectionClose:
		c.closedByClient()
		return
	case *codec.ConnectionCloseOk:
		if c.state == stateClosing {
			c.done = true
			return
		}
	case *codec.ConnectionUpdateSecret:
		if c.state == stateRunning {
			c.put0(&codec.ConnectionUpdateSecretOk{})
			return
		}
	}
	if c.state == stateClosing {
		return
	}
	if c.state != stateRunning {
		c.hangUp("unexpected method %s in connection state %v", m.Name(), c.state)
		return
	}
	c.shut(errorAt(m, codec.ChannelError, "unexpected method in connection state %v", c.state))
}

// closedByClient answers the client's close, also one that has crossed the broker's.
func (c *conn) closedByClient() {
	crossed := c.state == stateClosing
	if !crossed {
		c.tellConfirms()
		c.state = stateClosing
		c.leaveHost()
	}
	c.out.mute()
	c.out.force(&codec.ConnectionCloseOk{})
	if crossed {
		return
	}
	c.done = true
	c.beginEnd()
	c.awaitWritten()
	// As RabbitMQ does: to a client that has not yet looked at the close-ok, an end right behind it may look like a
	// connection that is lost.
	c.discard(closeTimeout)
}

// execute does what a method on the channel asks for.
func (ch *channel) execute(in *inbound, dec *decision) {
	if ch.closing {
		switch in.method.(type) {
		case *codec.ChannelClose:
			ch.put(&codec.ChannelCloseOk{})
		case *codec.ChannelCloseOk:
			ch.closed()
		}
		return
	}
	if m, ok := in.method.(*codec.BasicPublish); ok {
		ch.takePublish(in, m, dec)
		return
	}
	answer, err := ch.answer(in.method)
	if err != nil {
		ch.fail(in.method, err)
		return
	}
	if answer != nil {
		ch.c.tellConfirms() // of what came before
		ch.put(answer)
	}
}

// answer executes a method, and returns what is to be sent back unless it was sent already or the client does not
// want it.
func (ch *channel) answer(m codec.Method) (codec.Method, error) {
	q := ch.queues
	switch m := m.(type) {
	case *codec.ChannelOpen:
		return nil, errorAt(m, codec.ChannelError, "second 'channel.open' seen")
	case *codec.ChannelClose:
		ch.closed()
		return &codec.ChannelCloseOk{}, nil
	case *codec.ChannelFlow:
		if !m.Active {
			return nil, errorAt(m, codec.NotImplemented, "active=false")
		}
		return &codec.ChannelFlowOk{Active: true}, nil
	case *codec.ConfirmSelect:
		ch.confirms.on = true
		return unless(m.NoWait, &codec.ConfirmSelectOk{}), nil
	case *codec.TxSelect, *codec.TxCommit, *codec.TxRollback:
		return nil, errorAt(m, codec.NotImplemented, "this broker has no transactions; use publisher confirms")

	case *codec.ExchangeDeclare:
		return unless(m.NoWait, &codec.ExchangeDeclareOk{}), q.ExchangeDeclare(m)
	case *codec.ExchangeDelete:
		return unless(m.NoWait, &codec.ExchangeDeleteOk{}), q.ExchangeDelete(m)
	case *codec.ExchangeBind:
		return unless(m.NoWait, &codec.ExchangeBindOk{}), q.ExchangeBind(m)
	case *codec.ExchangeUnbind:
		return unless(m.NoWait, &codec.ExchangeUnbindOk{}), q.ExchangeUnbind(m)

	case *codec.QueueDeclare:
		ok, err := q.QueueDeclare(m)
		return unless(m.NoWait, ok), err
	case *codec.QueueBind:
		return unless(m.NoWait, &codec.QueueBindOk{}), q.QueueBind(m)
	case *codec.QueueUnbind:
		return &codec.QueueUnbindOk{}, q.QueueUnbind(m)
	case *codec.QueuePurge:
		n, err := q.QueuePurge(m)
		return unless(m.NoWait, &codec.QueuePurgeOk{MessageCount: n}), err
	case *codec.QueueDelete:
		n, err := q.QueueDelete(m)
		return unless(m.NoWait, &codec.QueueDeleteOk{MessageCount: n}), err
	default:
		return ch.answerBasic(m)
	}
}

func (ch *channel) answerBasic(m codec.Method) (codec.Method, error) {
	q := ch.queues
	switch m := m.(type) {
	case *codec.BasicQos:
		return &codec.BasicQosOk{}, q.Qos(m)
	case *codec.BasicConsume:
		return nil, q.Consume(m, func(tag string) {
			if !m.NoWait {
				ch.put(&codec.BasicConsumeOk{ConsumerTag: tag})
			}
		})
	case *codec.BasicCancel:
		return unless(m.NoWait, &codec.BasicCancelOk{ConsumerTag: m.ConsumerTag}), q.Cancel(m)
	case *codec.BasicGet:
		ok, msg, err := q.Get(m)
		switch {
		case err != nil:
			return nil, err
		case ok == nil:
			return &codec.BasicGetEmpty{}, nil
		}
		ch.c.out.put(ch.id, ok, msg)
		return nil, nil
	case *codec.BasicAck:
		return nil, q.Ack(m)
	case *codec.BasicNack:
		return nil, q.Nack(m)
	case *codec.BasicReject:
		return nil, q.Reject(m)
	case *codec.BasicRecover:
		return &codec.BasicRecoverOk{}, q.Recover(m.Requeue)
	case *codec.BasicRecoverAsync:
		return nil, q.Recover(m.Requeue)
	default:
		return nil, errorAt(m, codec.CommandInvalid, "unimplemented method")
	}
}

// unless is an answer that the client may have asked not to get.
func unless[M any, P interface {
	*M
	codec.Method
}](noWait bool, answer P) codec.Method {
	if noWait || answer == nil {
		return nil
	}
	return answer
}
