package main

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/wire"
)

// A server of version 1 would refuse a replay in version 2, and it would be gone.
func TestReplayIsWrittenInVersion1(t *testing.T) {
	t.Parallel()
	issued := time.UnixMilli(1_790_000_000_000)
	for _, version := range []wire.Version{wire.V1, wire.V2} {
		meta := wire.Meta{Version: version, Kind: wire.KindCall, Attempt: 3, Issued: issued, Deadline: issued.Add(time.Second)}
		p := &parked{Delivery: amqp.Delivery{CorrelationId: "k", ReplyTo: "warren:r", Type: meta.Encode(), Body: []byte("order")}}
		msg, err := p.request("orders.add")
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.DecodeMeta(msg.Type)
		if want := (wire.Meta{Version: wire.V1, Kind: wire.KindCall, Attempt: 3, Issued: issued}); err != nil || got != want || !strings.HasPrefix(msg.Type, "warren/1;") {
			t.Errorf("%s is replayed as %s, %v", p.Type, msg.Type, err)
		}
	}
}
