package wire

import (
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The headers of parked calls, all of them text, and the one of a call that is
// taken out again.
const (
	DeadReason   = "x-warren-dead-reason"
	DeadAttempts = "x-warren-dead-attempts"
	DeadError    = "x-warren-dead-error"
	DeadIncident = "x-warren-dead-incident"
	DeadAt       = "x-warren-dead-at"
	DeadMethod   = "x-warren-dead-method"
	DeadUser     = "x-warren-dead-user"
	ReplayMark   = "x-warren-replay"
)

// DeadQueue is where a method's calls are parked.
func DeadQueue(method string) string { return method + ".dead" }

// Dead is what is noted of a parked call.
type Dead struct {
	Reason, Error, Incident, Method string
	// User is the broker's user who called, as the broker has validated it; empty if
	// the request did not name one. The property itself cannot be sent on by another.
	User     string
	Attempts int
	At       time.Time
}

// EncodeDead returns the message that parks a request: as it came, persistent,
// without an expiration, and with the notes as headers. A deadline that the expiration
// said is written into its metadata.
func EncodeDead(d *amqp.Delivery, n Dead) amqp.Publishing {
	headers := amqp.Table{}
	for key, value := range d.Headers {
		if !IsBrokerHeader(key) && key != ReplayMark {
			headers[key] = value
		}
	}
	for key, value := range map[string]string{
		DeadReason: n.Reason, DeadAttempts: strconv.Itoa(n.Attempts), DeadError: cutText(n.Error),
		DeadIncident: n.Incident, DeadAt: n.At.UTC().Format(time.RFC3339), DeadMethod: n.Method,
	} {
		headers[key] = value
	}
	if n.User != "" {
		headers[DeadUser] = n.User
	}
	return amqp.Publishing{
		Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: Persistent,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId,
		Timestamp: d.Timestamp, Type: parkedType(d), AppId: d.AppId, Body: d.Body,
	}
}

// parkedType is the type of a request that has no expiration any more.
func parkedType(d *amqp.Delivery) string {
	meta, err := DecodeMeta(d.Type)
	if err != nil || !meta.Deadline.IsZero() {
		return d.Type
	}
	at := deadline(&meta, d)
	if at.IsZero() {
		return d.Type
	}
	typ := appendNumber([]byte(d.Type), 'd', at.UnixMilli()-meta.Issued.UnixMilli())
	if len(typ) > maxShortString {
		return d.Type // somebody has filled it up
	}
	return string(typ)
}

// Replay is what a call that is taken out of the dead queue says of itself: which
// incident parked it, and who had called. Anybody can write that; a server believes
// it if its store knows both, of this call.
type Replay struct{ Incident, User string }

// Mark returns the replay as the value of the header [ReplayMark].
func (r Replay) Mark() string { return strings.TrimSuffix(r.Incident+" "+r.User, " ") }

// ReplayOf returns what the header [ReplayMark] of a request says, nil if there is
// none.
func ReplayOf(d *amqp.Delivery) *Replay {
	mark, marked := d.Headers[ReplayMark]
	if !marked {
		return nil
	}
	text, _ := scalarText(mark)
	incident, user, _ := strings.Cut(text, " ")
	return &Replay{incident, user}
}

// Deliveries is how often the broker has handed the message out before, as far as
// it counts: quorum queues do.
func Deliveries(d *amqp.Delivery) int {
	n, _ := d.Headers["x-delivery-count"].(int64)
	return int(n)
}
