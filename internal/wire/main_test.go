package wire_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var limits = wire.DefaultLimits()

// deliver is what a broker hands out of a message that was published.
func deliver(msg amqp.Publishing) *amqp.Delivery {
	return &amqp.Delivery{
		Headers: msg.Headers, ContentType: msg.ContentType, ContentEncoding: msg.ContentEncoding,
		DeliveryMode: msg.DeliveryMode, Priority: msg.Priority, CorrelationId: msg.CorrelationId, ReplyTo: msg.ReplyTo,
		Expiration: msg.Expiration, MessageId: msg.MessageId, Timestamp: msg.Timestamp, Type: msg.Type,
		UserId: msg.UserId, AppId: msg.AppId, Body: msg.Body,
	}
}

// check is what *testing.T and *rapid.T have in common.
type check interface {
	Helper()
	Errorf(format string, args ...any)
	Error(args ...any)
}

// checkShortStrings demands that nothing of msg ends the connection.
func checkShortStrings(t check, msg *amqp.Publishing) {
	t.Helper()
	for name, value := range map[string]string{
		"content type": msg.ContentType, "content encoding": msg.ContentEncoding, "correlation ID": msg.CorrelationId,
		"type": msg.Type, "user ID": msg.UserId, "app ID": msg.AppId, "expiration": msg.Expiration,
	} {
		if len(value) > 255 {
			t.Errorf("the %s has %d bytes", name, len(value))
		}
	}
	for key := range msg.Headers {
		if len(key) > 255 {
			t.Errorf("a header's name has %d bytes", len(key))
		}
	}
	if err := msg.Headers.Validate(); err != nil {
		t.Error(err)
	}
}

// Generators are made anew by each test: they are not safe for concurrent use.

// bytesAsText draws strings that need not be text.
func bytesAsText() *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
}

// headers draws what an application may send.
func headers() *rapid.Generator[warren.Header] {
	return rapid.Custom(func(t *rapid.T) warren.Header {
		drawn := rapid.MapOfN(rapid.StringMatching(`h[!-~]{0,20}`), bytesAsText(), 0, 20).Draw(t, "headers")
		if len(drawn) == 0 {
			return nil
		}
		return warren.Header(drawn)
	})
}
