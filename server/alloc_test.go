package server

import (
	"context"
	"strconv"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/amqp/frames"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
)

// requestAllocations is how often a request may allocate between its delivery and the
// publisher's send queue, its handler left out.
const requestAllocations = 6

// A request costs little memory. Nothing is connected: what the test counts is the
// request's own, and nothing else runs.
func TestRequestAllocatesLittle(t *testing.T) {
	s, err := New(Config{Broker: warren.Broker{URLs: []string{"amqp://localhost"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cancel(errStopping) })
	reply := &warren.Reply{Body: make([]byte, 64)}
	handler := func(context.Context, *warren.Request) (*warren.Reply, error) { return reply, nil }
	if err := s.HandleRaw(Method{Name: "m"}, handler); err != nil {
		t.Fatal(err)
	}
	meta := wire.Meta{Version: wire.V2, Kind: wire.KindCall, Issued: time.Now(), Bundles: true}
	const runs = 1000
	deliveries := make([]frames.Delivery, runs+1)
	for i := range deliveries {
		deliveries[i].Delivery = amqp.Delivery{
			Type: meta.Encode(), CorrelationId: strconv.Itoa(i), ReplyTo: "warren:reply", Expiration: "10000", Body: make([]byte, 64),
		}
	}
	next := 0
	made := testing.AllocsPerRun(runs, func() {
		s.methods["m"].serve(broker.Delivery{Delivery: &deliveries[next]})
		next++
	})
	if handled := s.Stats().Handled; handled != runs+1 {
		t.Errorf("%d requests were handled", handled)
	}
	t.Logf("%v allocations", made)
	if made > requestAllocations {
		t.Errorf("a request allocates %v times; at most %d are meant", made, requestAllocations)
	}
}
