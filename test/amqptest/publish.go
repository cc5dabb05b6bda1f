package amqptest

import (
	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/amqptest/internal/vhost"
)

// takePublish routes a message, returns it if it must be, and settles its confirm. The decision may be nil.
func (ch *channel) takePublish(in *inbound, m *codec.BasicPublish, dec *decision) {
	if m.Immediate {
		ch.fail(m, errorAt(nil, codec.NotImplemented, "immediate=true"))
		return
	}
	fate := confirmNormally
	if dec != nil {
		fate = dec.confirm
	}
	if fate == confirmNack {
		ch.settle(in.tag, false)
		return
	}
	var result vhost.Result
	if dec == nil || !dec.unroutable {
		var err error
		if result, err = ch.queues.Publish(m, *in.props, in.body); err != nil {
			ch.fail(m, err)
			return
		}
		ch.c.b.weigh(int64(len(in.body)) + outgoingOverhead)
	}
	if m.Mandatory && !result.Routed {
		ch.c.out.put(ch.id, &codec.BasicReturn{
			ReplyCode: codec.NoRoute, ReplyText: codec.CodeName(codec.NoRoute), Exchange: m.Exchange, RoutingKey: m.RoutingKey,
		}, returned(in.props, in.body))
	}
	if fate == confirmNever {
		if in.tag > 0 {
			ch.confirms.never(in.tag)
		}
		return
	}
	ch.settle(in.tag, !result.Rejected)
}
