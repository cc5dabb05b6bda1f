package broker_test

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// The library takes a connection that ends during its opening for one to a virtual host
// that is denied. One that is given up because its broker says nothing is not.
func TestBrokerThatSaysNothingDoesNotRefuse(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		link := broker.NewLink(r.Settings().WithDefaults(), "test", rig.Logger(r.T))
		if err := link.Start(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(time.Minute)
		err := link.LastErr()
		if _, refused := link.Refused(); err == nil || broker.IsPermanent(err) || refused != nil {
			r.T.Errorf("the last attempt ended in %v, and the broker is said to refuse: %v", err, refused)
		}
		if err := link.Stop(r.T.Context()); err != nil {
			r.T.Error(err)
		}
	}, amqptest.Rule{When: amqptest.When{Method: "connection.open"}, Times: amqptest.Always, Do: amqptest.Drop()})
}
