package main

import (
	"maps"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/wire"
)

// The headers of a parked call that say why it is there. All are text.
const (
	deadHeaders  = "x-warren-dead-"
	deadReason   = deadHeaders + "reason"
	deadAttempts = deadHeaders + "attempts"
	deadError    = deadHeaders + "error"
	deadIncident = deadHeaders + "incident"
	deadAt       = deadHeaders + "at"
)

// replayHeader has the server run a call again that it has parked.
const replayHeader = "x-warren-replay"

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
	attempts, _ := strconv.Atoi(p.header(deadAttempts)) // 0 if it does not say
	return deadCall{
		CallID: p.CorrelationId, Attempts: attempts, At: p.header(deadAt), Reason: p.header(deadReason),
		Error: p.header(deadError), Incident: p.header(deadIncident), Size: len(p.Body),
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
	maps.DeleteFunc(headers, func(name string, _ any) bool { return strings.HasPrefix(name, deadHeaders) || isBrokers(name) })
	if headers == nil {
		headers = amqp.Table{}
	}
	headers[replayHeader] = "1"
	return &amqp.Publishing{
		Headers: headers, ContentType: p.ContentType, ContentEncoding: p.ContentEncoding, DeliveryMode: amqp.Persistent,
		Priority: p.Priority, CorrelationId: p.CorrelationId, ReplyTo: p.ReplyTo, MessageId: p.MessageId,
		Timestamp: p.Timestamp, Type: typ, UserId: p.UserId, AppId: p.AppId, Body: p.Body,
	}, nil
}

// isBrokers tells the headers by which the broker counts deliveries and deaths, and
// those by which it would send copies elsewhere: a replay begins anew, and goes to
// its method alone.
func isBrokers(name string) bool {
	switch name {
	case "CC", "BCC", "x-death", "x-delivery-count", "x-acquired-count":
		return true
	}
	return strings.HasPrefix(name, "x-first-death-") || strings.HasPrefix(name, "x-last-death-")
}
