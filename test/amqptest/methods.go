package amqptest

// methodSenders says who sends what events are called: 0 is both.
var methodSenders = func() map[string]Direction {
	senders := make(map[string]Direction)
	for d, names := range map[Direction][]string{0: sentByBoth, FromClient: sentByClients, FromBroker: sentByBrokers} {
		for _, name := range names {
			senders[name] = d
		}
	}
	return senders
}()

var sentByBoth = []string{
	"heartbeat", "frame.method", "frame.header", "frame.body", "frame.heartbeat",
	"connection.close", "connection.close-ok",
	"channel.flow", "channel.flow-ok", "channel.close", "channel.close-ok",
	"basic.ack", "basic.nack", "basic.cancel", "basic.cancel-ok",
}

var sentByClients = []string{
	"connection.start-ok", "connection.secure-ok", "connection.tune-ok", "connection.open", "connection.update-secret",
	"channel.open",
	"exchange.declare", "exchange.delete", "exchange.bind", "exchange.unbind",
	"queue.declare", "queue.bind", "queue.purge", "queue.delete", "queue.unbind",
	"basic.qos", "basic.consume", "basic.publish", "basic.get", "basic.reject", "basic.recover-async", "basic.recover",
	"confirm.select", "tx.select", "tx.commit", "tx.rollback",
}

var sentByBrokers = []string{
	"connection.start", "connection.secure", "connection.tune", "connection.open-ok", "connection.blocked",
	"connection.unblocked", "connection.update-secret-ok",
	"channel.open-ok",
	"exchange.declare-ok", "exchange.delete-ok", "exchange.bind-ok", "exchange.unbind-ok",
	"queue.declare-ok", "queue.bind-ok", "queue.purge-ok", "queue.delete-ok", "queue.unbind-ok",
	"basic.qos-ok", "basic.consume-ok", "basic.return", "basic.deliver", "basic.get-ok", "basic.get-empty",
	"basic.recover-ok",
	"confirm.select-ok", "tx.select-ok", "tx.commit-ok", "tx.rollback-ok",
}
