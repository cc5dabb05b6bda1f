package e2e

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// Headers that the AMQP library cannot read must cost nobody but their sender. RabbitMQ takes and delivers all of them.
func TestHostileHeadersOfRequestsAreAnsweredAndCostNobodyAConnection(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	for _, kind := range []server.QueueType{server.Classic, server.Quorum} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, url, func(s *server.Server) error {
				return s.HandleRaw(server.Method{Name: kind, Queue: server.Queue{Type: kind}}, rig.Echo)
			})
			c := newClient(t, url)
			p := newPlainPeer(t, url)
			for _, table := range rig.HostileTables() {
				publishRaw(t, url, kind, codec.Properties{
					Present: codec.HasReplyTo | codec.HasCorrelationID, ReplyTo: p.Queue, CorrelationID: table.Name,
				}, table.Entries, "body")
				d := p.Next()
				want := "body"
				if !table.Served {
					want = "invalid_argument/bad_request: "
				}
				if d.CorrelationId != table.Name || !strings.HasPrefix(string(d.Body), want) {
					t.Errorf("%s: reply %q to %q", table.Name, d.Body, d.CorrelationId)
				}
			}
			if _, err := c.Call(testContext(t), kind, []byte("x")); err != nil {
				t.Errorf("a call beside: %v", err)
			}
			if st := s.Stats(); st.Reconnects != 0 {
				t.Errorf("connections have ended: %+v", st)
			}
			wantEmpty(t, p, kind)
		})
	}
}

// A plain server's reply reaches the client through its durable reply queue.
func TestHostileHeadersOfRepliesAreDroppedAndCostNoConnection(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	p := newPlainPeer(t, url)
	requests := p.Consume(p.Declare("plain", nil))
	c := newClient(t, url)
	dropped := uint64(0)
	for _, table := range rig.HostileTables() {
		call := c.Go(testContext(t), "plain", nil, client.WithTimeout(patience.Soon))
		request := <-requests
		properties := codec.Properties{Present: codec.HasCorrelationID, CorrelationID: request.CorrelationId}
		publishRaw(t, url, request.ReplyTo, properties, table.Entries, "hostile")
		publishRaw(t, url, request.ReplyTo, properties, nil, "plain")
		reply, err := call.Result()
		switch {
		case table.Served && (err != nil || string(reply.Body) != "hostile"):
			t.Errorf("%s: %v, %v", table.Name, reply, err)
		case table.Unreadable && (err != nil || string(reply.Body) != "plain"):
			t.Errorf("%s: %v, %v", table.Name, reply, err)
		case !table.Served && !table.Unreadable:
			rig.WantError(t, err, warren.CodeInternal, warren.ReasonBadReply, warren.Unknown)
		}
		if table.Unreadable {
			dropped++
		}
	}
	if st := c.Stats(); st.Unreadable != dropped || st.Reconnects != 0 {
		t.Errorf("%d replies were unreadable: %+v", dropped, st)
	}
}

// publishRaw publishes a message with those headers, which the broker has to take.
func publishRaw(t *testing.T, url, queue string, p codec.Properties, entries []byte, body string) {
	t.Helper()
	header, err := rig.RawHeader(p, entries, len(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := rig.NewRaw(t, warren.Broker{URLs: []string{url}}).Publish(queue, header, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func wantEmpty(t *testing.T, p *rig.Peer, queue string) {
	t.Helper()
	patience.Eventually(t, "everything is acknowledged", func() bool {
		q, err := p.Channel.QueueDeclarePassive(queue, true, false, false, false, amqp.Table{})
		return err == nil && q.Messages == 0
	})
}
