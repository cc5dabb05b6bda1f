package codec

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// answers is what the broker of TestWhatTheClientSendsIsDecoded says to each method.
func answers(m Method) []Method {
	switch m := m.(type) {
	case *ConnectionUpdateSecret:
		return []Method{&ConnectionUpdateSecretOk{}}
	case *ChannelFlow:
		return []Method{&ChannelFlowOk{Active: m.Active}}
	case *ExchangeDeclare:
		return []Method{&ExchangeDeclareOk{}}
	case *ExchangeBind:
		return []Method{&ExchangeBindOk{}}
	case *ExchangeUnbind:
		return []Method{&ExchangeUnbindOk{}}
	case *ExchangeDelete:
		return []Method{&ExchangeDeleteOk{}}
	case *QueueDeclare:
		return []Method{&QueueDeclareOk{Queue: m.Queue, MessageCount: 1 << 20, ConsumerCount: 258}}
	case *QueueBind:
		return []Method{&QueueBindOk{}}
	case *QueueUnbind:
		return []Method{&QueueUnbindOk{}}
	case *QueuePurge:
		return []Method{&QueuePurgeOk{MessageCount: 259}}
	case *QueueDelete:
		return []Method{&QueueDeleteOk{MessageCount: 260}}
	case *BasicQos:
		return []Method{&BasicQosOk{}}
	case *BasicConsume:
		deliver := &BasicDeliver{ConsumerTag: m.ConsumerTag, DeliveryTag: 1 << 40, Redelivered: true, Exchange: "e", RoutingKey: "k"}
		return []Method{&BasicConsumeOk{ConsumerTag: m.ConsumerTag}, content{deliver, publishedHeader(), publishing().Body}}
	case *BasicCancel:
		return []Method{&BasicCancelOk{ConsumerTag: m.ConsumerTag}}
	case *BasicGet:
		if m.NoAck {
			return []Method{&BasicGetEmpty{}}
		}
		got := &BasicGetOk{DeliveryTag: 1 << 41, Redelivered: true, Exchange: "e", RoutingKey: "k", MessageCount: 261}
		return []Method{content{got, publishedHeader(), publishing().Body}}
	case *BasicRecover:
		return []Method{&BasicRecoverOk{}}
	case *ConfirmSelect:
		return []Method{&ConfirmSelectOk{}}
	case *TxSelect:
		return []Method{&TxSelectOk{}}
	case *TxCommit:
		return []Method{&TxCommitOk{}}
	case *TxRollback:
		return []Method{&TxRollbackOk{}}
	default:
		return nil
	}
}

func TestWhatTheClientSendsIsDecoded(t *testing.T) {
	args := clientTable()
	conn, ch, closed := connect(t, answers)
	var deliveries <-chan amqp.Delivery

	steps := []struct {
		do   func() error
		want Method
	}{
		{nil, &ConnectionStartOk{ClientProperties: nil, Mechanism: "PLAIN", Response: "\x00user\x00secret", Locale: "en_US"}},
		{nil, &ConnectionTuneOk{ChannelMax: 100, FrameMax: frameMax, Heartbeat: 600}},
		{nil, &ConnectionOpen{VirtualHost: "/v"}},
		{nil, &ChannelOpen{}},
		{func() error { return conn.UpdateSecret("new", "expired") }, &ConnectionUpdateSecret{"new", "expired"}},
		{func() error { return ch.Flow(false) }, &ChannelFlow{false}},
		{func() error { return ch.Flow(true) }, &ChannelFlow{true}},
		{func() error { return ch.ExchangeDeclare("e", "topic", true, false, false, false, args) },
			&ExchangeDeclare{Exchange: "e", Type: "topic", Durable: true, Arguments: sortedTable()}},
		{func() error { return ch.ExchangeDeclare("e", "topic", false, true, false, false, nil) },
			&ExchangeDeclare{Exchange: "e", Type: "topic", AutoDelete: true}},
		{func() error { return ch.ExchangeDeclare("e", "topic", false, false, true, false, nil) },
			&ExchangeDeclare{Exchange: "e", Type: "topic", Internal: true}},
		{func() error { return ch.ExchangeDeclarePassive("e", "topic", false, false, false, false, nil) },
			&ExchangeDeclare{Exchange: "e", Type: "topic", Passive: true}},
		{func() error { return ch.ExchangeBind("d", "k", "s", false, args) },
			&ExchangeBind{Destination: "d", Source: "s", RoutingKey: "k", Arguments: sortedTable()}},
		{func() error { return ch.ExchangeUnbind("d", "k", "s", false, args) },
			&ExchangeUnbind{Destination: "d", Source: "s", RoutingKey: "k", Arguments: sortedTable()}},
		{func() error { return ch.ExchangeDelete("e", true, false) }, &ExchangeDelete{Exchange: "e", IfUnused: true}},
		{func() error {
			q, err := ch.QueueDeclare("q", true, false, false, false, args)
			if want := (amqp.Queue{Name: "q", Messages: 1 << 20, Consumers: 258}); q != want {
				t.Errorf("queue.declare-ok was read as %+v", q)
			}
			return err
		}, &QueueDeclare{Queue: "q", Durable: true, Arguments: sortedTable()}},
		{func() error { _, err := ch.QueueDeclare("q", false, true, false, false, nil); return err }, &QueueDeclare{Queue: "q", AutoDelete: true}},
		{func() error { _, err := ch.QueueDeclare("q", false, false, true, false, nil); return err }, &QueueDeclare{Queue: "q", Exclusive: true}},
		{func() error { _, err := ch.QueueDeclarePassive("q", false, false, false, false, nil); return err }, &QueueDeclare{Queue: "q", Passive: true}},
		{func() error { return ch.QueueBind("q", "k", "e", false, args) },
			&QueueBind{Queue: "q", Exchange: "e", RoutingKey: "k", Arguments: sortedTable()}},
		{func() error { return ch.QueueUnbind("q", "k", "e", args) },
			&QueueUnbind{Queue: "q", Exchange: "e", RoutingKey: "k", Arguments: sortedTable()}},
		{func() error { return wantCount(t, 259)(ch.QueuePurge("q", false)) }, &QueuePurge{Queue: "q"}},
		{func() error { return wantCount(t, 260)(ch.QueueDelete("q", true, false, false)) }, &QueueDelete{Queue: "q", IfUnused: true}},
		{func() error { return wantCount(t, 260)(ch.QueueDelete("q", false, true, false)) }, &QueueDelete{Queue: "q", IfEmpty: true}},
		{func() error { return ch.Qos(258, 65536, true) }, &BasicQos{PrefetchSize: 65536, PrefetchCount: 258, Global: true}},
		{func() (err error) {
			deliveries, err = ch.Consume("q", "tag", true, false, false, false, args)
			return err
		}, &BasicConsume{Queue: "q", ConsumerTag: "tag", NoAck: true, Arguments: sortedTable()}},
		{func() error { _, err := ch.Consume("q", "tag2", false, true, false, false, nil); return err }, &BasicConsume{Queue: "q", ConsumerTag: "tag2", Exclusive: true}},
		{func() error { _, err := ch.Consume("q", "tag3", false, false, true, false, nil); return err }, &BasicConsume{Queue: "q", ConsumerTag: "tag3", NoLocal: true}},
		{func() error {
			d := await(t, deliveries)
			checkDelivery(t, d, amqp.Delivery{ConsumerTag: "tag", DeliveryTag: 1 << 40})
			return ch.Cancel("tag", false)
		}, &BasicCancel{ConsumerTag: "tag"}},
		{func() error {
			d, ok, err := ch.Get("q", false)
			if !ok {
				t.Error("basic.get-ok was not read as a message")
			}
			checkDelivery(t, d, amqp.Delivery{DeliveryTag: 1 << 41, MessageCount: 261})
			return err
		}, &BasicGet{Queue: "q"}},
		{func() error {
			_, ok, err := ch.Get("q", true)
			if ok {
				t.Error("basic.get-empty was read as a message")
			}
			return err
		}, &BasicGet{Queue: "q", NoAck: true}},
		{func() error { return ch.PublishWithContext(t.Context(), "e", "k", true, false, publishing()) },
			&BasicPublish{Exchange: "e", RoutingKey: "k", Mandatory: true}},
		{func() error { return ch.PublishWithContext(t.Context(), "e", "k", false, true, amqp.Publishing{}) },
			&BasicPublish{Exchange: "e", RoutingKey: "k", Immediate: true}},
		{func() error { return ch.Ack(1<<40, true) }, &BasicAck{DeliveryTag: 1 << 40, Multiple: true}},
		{func() error { return ch.Nack(1<<40, true, false) }, &BasicNack{DeliveryTag: 1 << 40, Multiple: true}},
		{func() error { return ch.Nack(1<<40, false, true) }, &BasicNack{DeliveryTag: 1 << 40, Requeue: true}},
		{func() error { return ch.Reject(1<<40, true) }, &BasicReject{DeliveryTag: 1 << 40, Requeue: true}},
		{func() error { return ch.Recover(true) }, &BasicRecover{Requeue: true}}, //nolint:staticcheck // Clients in use send it.
		{ch.Tx, &TxSelect{}}, {ch.TxCommit, &TxCommit{}}, {ch.TxRollback, &TxRollback{}},
		{func() error { return ch.Confirm(false) }, &ConfirmSelect{}},
		{func() error { return ch.ExchangeDeclare("e", "topic", false, false, false, true, nil) },
			&ExchangeDeclare{Exchange: "e", Type: "topic", NoWait: true}},
		{func() error { return ch.ExchangeBind("d", "k", "s", true, nil) },
			&ExchangeBind{Destination: "d", Source: "s", RoutingKey: "k", NoWait: true}},
		{func() error { return ch.ExchangeUnbind("d", "k", "s", true, nil) },
			&ExchangeUnbind{Destination: "d", Source: "s", RoutingKey: "k", NoWait: true}},
		{func() error { return ch.ExchangeDelete("e", false, true) }, &ExchangeDelete{Exchange: "e", NoWait: true}},
		{func() error { _, err := ch.QueueDeclare("q", false, false, false, true, nil); return err }, &QueueDeclare{Queue: "q", NoWait: true}},
		{func() error { return ch.QueueBind("q", "k", "e", true, nil) }, &QueueBind{Queue: "q", Exchange: "e", RoutingKey: "k", NoWait: true}},
		{func() error { _, err := ch.QueuePurge("q", true); return err }, &QueuePurge{Queue: "q", NoWait: true}},
		{func() error { _, err := ch.QueueDelete("q", false, false, true); return err }, &QueueDelete{Queue: "q", NoWait: true}},
		{func() error { _, err := ch.Consume("q", "tag4", false, false, false, true, nil); return err }, &BasicConsume{Queue: "q", ConsumerTag: "tag4", NoWait: true}},
		{func() error { return ch.Cancel("tag4", true) }, &BasicCancel{ConsumerTag: "tag4", NoWait: true}},
		{ch.Close, &ChannelClose{ReplyCode: ReplySuccess}},
		{conn.Close, &ConnectionClose{ReplyCode: ReplySuccess, ReplyText: "kthxbai"}},
	}
	for _, step := range steps {
		if step.do == nil {
			continue
		}
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.want.Name(), err)
		}
	}

	b := closed()
	for i, m := range b.methods {
		want := steps[i].want
		switch m := m.(type) {
		case *ConnectionStartOk: // the client adds its capabilities
			for _, entry := range sortedTable() {
				if v, _ := m.ClientProperties.Get(entry.Key); !reflect.DeepEqual(v, entry.Value) {
					t.Errorf("client property %s: %v", entry.Key, v)
				}
			}
			m.ClientProperties = nil
		case *ChannelClose, *ConnectionClose: // its texts are its own
			reflect.ValueOf(m).Elem().FieldByName("ReplyText").SetString("")
			reflect.ValueOf(want).Elem().FieldByName("ReplyText").SetString("")
		}
		if !reflect.DeepEqual(m, want) {
			t.Errorf("%s was decoded as\n%#v, want\n%#v", want.Name(), m, want)
		}
	}
	if len(b.methods) != len(steps) {
		t.Errorf("%d methods decoded, %d sent", len(b.methods), len(steps))
	}
	if !reflect.DeepEqual(b.headers, []Header{publishedHeader(), {ClassID: 60}}) {
		t.Errorf("headers were decoded as %+v", b.headers)
	}
	if !reflect.DeepEqual(b.bodies, [][]byte{publishing().Body, {}}) {
		t.Error("bodies differ")
	}
}

func wantCount(t *testing.T, want int) func(int, error) error {
	t.Helper()
	return func(got int, err error) error {
		if got != want {
			t.Errorf("count was read as %d, want %d", got, want)
		}
		return err
	}
}

// checkDelivery compares what the client made of a delivery with the message that was published.
func checkDelivery(t *testing.T, got, want amqp.Delivery) {
	t.Helper()
	p := publishing()
	want.Acknowledger, want.Redelivered, want.Exchange, want.RoutingKey = got.Acknowledger, true, "e", "k"
	want.ContentType, want.ContentEncoding, want.DeliveryMode = p.ContentType, p.ContentEncoding, p.DeliveryMode
	want.Priority, want.CorrelationId, want.ReplyTo, want.Expiration = p.Priority, p.CorrelationId, p.ReplyTo, p.Expiration
	want.MessageId, want.Timestamp, want.Type = p.MessageId, p.Timestamp, p.Type
	want.UserId, want.AppId, want.Body = p.UserId, p.AppId, p.Body
	if !reflect.DeepEqual(fromClient(got.Headers), fromClient(p.Headers)) {
		t.Errorf("headers were read as %v", got.Headers)
	}
	if !got.Timestamp.Equal(want.Timestamp) {
		t.Errorf("timestamp was read as %v", got.Timestamp)
	}
	got.Headers, got.Timestamp = nil, want.Timestamp
	if !reflect.DeepEqual(got, want) {
		t.Errorf("delivery was read as %+v, want %+v", got, want)
	}
}

func TestWhatTheBrokerSendsUnaskedIsReadByTheClient(t *testing.T) {
	conn, ch, closed := connect(t, func(m Method) []Method {
		switch m := m.(type) {
		case *ConfirmSelect:
			return []Method{&ConfirmSelectOk{}, &ConnectionBlocked{Reason: "low on memory"}, &ConnectionUnblocked{}, &ChannelFlow{false}}
		case *BasicConsume:
			return []Method{&BasicConsumeOk{ConsumerTag: m.ConsumerTag}, &BasicCancel{ConsumerTag: m.ConsumerTag, NoWait: true}}
		case *BasicPublish:
			if !m.Mandatory {
				return []Method{&BasicNack{DeliveryTag: 2}}
			}
			returned := &BasicReturn{ReplyCode: NoRoute, ReplyText: "NO_ROUTE", Exchange: m.Exchange, RoutingKey: m.RoutingKey}
			return []Method{content{returned, publishedHeader(), publishing().Body}, &BasicAck{DeliveryTag: 1}}
		case *BasicQos:
			return []Method{&ChannelClose{ReplyCode: NotFound, ReplyText: "NOT_FOUND - x", ClassID: 60, MethodID: 10}}
		case *ChannelCloseOk:
			return []Method{&ConnectionClose{ReplyCode: ConnectionForced, ReplyText: "CONNECTION_FORCED - x"}}
		default:
			return nil
		}
	})
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 2))
	connClosed := conn.NotifyClose(make(chan *amqp.Error, 1))
	channelClosed := ch.NotifyClose(make(chan *amqp.Error, 1))
	flow, cancelled := ch.NotifyFlow(make(chan bool, 1)), ch.NotifyCancel(make(chan string, 1))
	returns, confirms := ch.NotifyReturn(make(chan amqp.Return, 1)), ch.NotifyPublish(make(chan amqp.Confirmation, 2))

	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	if got := await(t, blocked); got != (amqp.Blocking{Active: true, Reason: "low on memory"}) {
		t.Errorf("connection.blocked was read as %+v", got)
	}
	if got := await(t, blocked); got.Active {
		t.Errorf("connection.unblocked was read as %+v", got)
	}
	if await(t, flow) {
		t.Error("channel.flow was read as active")
	}
	if _, err := ch.Consume("q", "tag", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if got := await(t, cancelled); got != "tag" {
		t.Errorf("basic.cancel was read for consumer %q", got)
	}
	for _, mandatory := range []bool{true, false} {
		if err := ch.PublishWithContext(t.Context(), "e", "k", mandatory, false, publishing()); err != nil {
			t.Fatal(err)
		}
		if got := await(t, confirms); got.Ack != mandatory {
			t.Errorf("confirm was read as %+v", got)
		}
	}
	if got := await(t, returns); got.ReplyCode != NoRoute || got.ReplyText != "NO_ROUTE" || got.Exchange != "e" || got.RoutingKey != "k" ||
		!bytes.Equal(got.Body, publishing().Body) || !reflect.DeepEqual(fromClient(got.Headers), fromClient(clientTable())) {
		t.Errorf("basic.return was read as %+v", got)
	}
	if err := ch.Qos(1, 0, false); err == nil || !strings.Contains(err.Error(), "NOT_FOUND - x") {
		t.Errorf("channel.close was read as %v", err)
	}
	if got := await(t, channelClosed); got.Code != int(NotFound) || got.Reason != "NOT_FOUND - x" {
		t.Errorf("channel.close was read as %+v", got)
	}
	if got := await(t, connClosed); got.Code != int(ConnectionForced) || got.Reason != "CONNECTION_FORCED - x" {
		t.Errorf("connection.close was read as %+v", got)
	}
	var names []string
	for _, m := range closed().methods[4:] {
		names = append(names, strings.TrimPrefix(m.Name(), "basic."))
	}
	// The client's reader tells of the flow before it answers it, so the answer may come after the next method.
	flowOk := slices.Index(names, "channel.flow-ok")
	if flowOk < 1 || flowOk > 2 {
		t.Fatalf("the client sent %s", names)
	}
	if got := strings.Join(slices.Delete(names, flowOk, flowOk+1), " "); got != "confirm.select consume publish publish qos channel.close-ok connection.close-ok" {
		t.Errorf("the client sent %s beside channel.flow-ok", got)
	}
}
