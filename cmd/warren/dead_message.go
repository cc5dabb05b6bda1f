package main

import (
	"maps"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/wire"
)

// deadHeaders begins the names of the headers that parking adds.
const deadHeaders = "x-warren-dead-"

// parked is a call as it stands in a dead queue: the request, with more headers.
type parked struct{ amqp.Delivery }

func (p *parked) header(name string) string {
	switch v := p.Headers[name].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// deadCall is what is printed of a parked call without its body.
type deadCall struct {
	CallID   string `json:"call_id"`
	Attempts int    `json:"attempts"`
	At       string `json:"at"`
	Reason   string `json:"reason"`
	Error    string `json:"error"`
	Incident string `json:"incident,omitempty"`
	Size     int    `json:"size"`
}

func (p *parked) summary() deadCall {
	attempts, _ := strconv.Atoi(p.header(wire.DeadAttempts)) // 0 if it does not say
	return deadCall{
		CallID: p.CorrelationId, Attempts: attempts, At: p.header(wire.DeadAt), Reason: p.header(wire.DeadReason),
		Error: p.header(wire.DeadError), Incident: p.header(wire.DeadIncident), Size: len(p.Body),
	}
}

// request returns the message that sends the call to its method once more: as it
// came, without what parking added, and without an end of its time, which is over.
func (p *parked) request() (*amqp.Publishing, error) {
	typ := p.Type
	if wire.IsWarren(typ) {
		meta, err := wire.DecodeMeta(typ)
		if err != nil {
			return nil, err
		}
		meta.Deadline = time.Time{}
		typ = meta.Encode()
	}
	headers := maps.Clone(p.Headers)
	maps.DeleteFunc(headers, func(name string, _ any) bool {
		return strings.HasPrefix(name, deadHeaders) || wire.IsBrokerHeader(name)
	})
	if headers == nil {
		headers = amqp.Table{}
	}
	headers[wire.ReplayMark] = "1"
	return &amqp.Publishing{
		Headers: headers, ContentType: p.ContentType, ContentEncoding: p.ContentEncoding, DeliveryMode: amqp.Persistent,
		Priority: p.Priority, CorrelationId: p.CorrelationId, ReplyTo: p.ReplyTo, MessageId: p.MessageId,
		Timestamp: p.Timestamp, Type: typ, UserId: p.UserId, AppId: p.AppId, Body: p.Body,
	}, nil
}
