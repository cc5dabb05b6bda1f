package main

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/frames"
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

// mostReplayed is the largest body that a server can be told to take.
const mostReplayed = 128 << 20

// request returns the message that sends the call to its method once more: as it
// came, without what parking added, and without an end of its time, which is over.
// What no server would take for a request stays parked: anybody may have written it.
func (p *parked) request(method string) (*amqp.Publishing, error) {
	d := p.Delivery
	if why, marked := d.Headers[frames.Mark]; marked {
		return nil, fmt.Errorf("its headers cannot be read: %.130v", why)
	}
	if d.Headers = maps.Clone(d.Headers); d.Headers == nil {
		d.Headers = amqp.Table{}
	}
	maps.DeleteFunc(d.Headers, func(name string, _ any) bool {
		return strings.HasPrefix(name, deadHeaders) || name == wire.ReplayMark || wire.IsBrokerHeader(name)
	})
	limits := wire.DefaultLimits()
	limits.Body = mostReplayed
	if _, err := wire.DecodeRequest(&d, method, limits); err != nil {
		return nil, err
	}
	if wire.IsWarren(d.Type) {
		meta, err := wire.DecodeMeta(d.Type)
		if err != nil {
			return nil, err
		}
		meta.Version, meta.Deadline = wire.V1, time.Time{} // a server that refused version 2 would have taken it out of the queue
		d.Type = meta.Encode()
	}
	d.Headers[wire.ReplayMark] = wire.Replay{Incident: p.header(wire.DeadIncident), User: p.header(wire.DeadUser)}.Mark()
	if err := d.Headers.Validate(); err != nil {
		return nil, err
	}
	return &amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId,
		// A user ID that the message has is not ours: a server parks calls without.
		Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	}, nil
}
