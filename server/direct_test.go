package server_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/test/rig"
)

// directPeer is a plain peer that gets its replies directly.
func directPeer(r *rig.Rig) *rig.Peer {
	r.T.Helper()
	p := r.Peer()
	replies, err := p.Channel.Consume(wire.DirectReplyTo, "", true, false, false, false, nil)
	if err != nil {
		r.T.Fatal(err)
	}
	p.Replies = replies
	return p
}

// nobody is a well formed reply address of a node that the broker does not know.
const nobody = wire.DirectReplyTo + ".g1h2AAhub2JvZHlAMQAAAfQAAAAAAAAAAQ==.a2V5"

func TestDirectReplyThatEndsTheConnectionIsChargedAlone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		p, stranger := directPeer(r), r.Peer()
		const rounds = 20
		for i := range rounds {
			// The first reply to a new address, too, stands in line with the stranger's.
			for _, peer := range []*rig.Peer{p, directPeer(r)} {
				stranger.Publish("echo", amqp.Publishing{ReplyTo: nobody, CorrelationId: "hostile"})
				peer.Publish("echo", amqp.Publishing{ReplyTo: wire.DirectReplyTo, CorrelationId: fmt.Sprint(i)})
				began := time.Now()
				if d := peer.Next(); d.CorrelationId != fmt.Sprint(i) {
					r.T.Fatalf("%+v", d)
				}
				if took := time.Since(began); took > time.Second {
					r.T.Errorf("a reply took %v", took)
				}
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		st := s.Stats()
		if st.Undelivered != 2*rounds || st.RepliesRetried != 0 || st.Reconnects == 0 || r.Queue("echo").Unacked != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestRequestsWithWhatIsNoDirectReplyAddressAreDropped(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		stranger := r.Peer()
		addresses := []string{
			wire.DirectReplyTo + ".", wire.DirectReplyTo + ".!!!.x", wire.DirectReplyTo + "X", wire.DirectReplyTo + ".g2gCYQFhAg==.a2V5",
		}
		for _, address := range addresses {
			stranger.Publish("echo", amqp.Publishing{ReplyTo: address, CorrelationId: "hostile"})
		}
		synctest.Wait()
		if st := s.Stats(); st.Dropped != uint64(len(addresses)) || st.Handled != 0 || st.Reconnects != 0 || r.Queue("echo").Unacked != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}
