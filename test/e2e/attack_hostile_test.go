package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// directAddress makes a direct reply address out of an Erlang process of the
// node, without its last bytes.
func directAddress(node string, cut int) string {
	term := append([]byte{131, 88, 118}, binary.BigEndian.AppendUint16(nil, uint16(len(node)))...)
	term = append(term, node...)
	for _, n := range []uint32{500, 0, 1} { // ID, serial, creation
		term = binary.BigEndian.AppendUint32(term, n)
	}
	return wire.DirectReplyTo + "." + base64.StdEncoding.EncodeToString(term[:len(term)-cut]) + "." + base64.StdEncoding.EncodeToString([]byte("key"))
}

// RabbitMQ ends the connection that publishes to a direct reply address which it
// cannot read. What a stranger writes into reply_to must not cost others their
// replies, nor be tried for ever.
func TestHostileReplyAddressesCostOthersNothing(t *testing.T) {
	t.Parallel()
	for _, replyTo := range []string{
		wire.DirectReplyTo + ".",
		wire.DirectReplyTo + ".!!!.???",
		wire.DirectReplyTo + ".g2gCYQFhAg==.x", // a tuple, not a process
		directAddress("nobody@1", 1),
		directAddress("nobody@1", 0), // well formed; such a node may have gone down
		"\x00\xff\n",
	} {
		t.Run(fmt.Sprintf("%q", replyTo), func(t *testing.T) {
			t.Parallel()
			url := rabbit.VHost(t)
			s := newServer(t, url, serveEcho("echo"))
			p := newPlainPeer(t, url)
			p.Publish("echo", amqp.Publishing{ReplyTo: replyTo, CorrelationId: "1", Body: []byte("hostile")})
			c := newClient(t, url)
			for range 50 {
				if _, err := c.Call(testContext(t), "echo", nil); err != nil {
					t.Fatal(err)
				}
			}
			patience.Eventually(t, "the hostile request is done with", func() bool {
				q, err := p.Channel.QueueDeclarePassive("echo", false, false, false, false, nil)
				st := s.Stats()
				return err == nil && q.Messages == 0 && st.Handled+st.Dropped == 51
			})
			// It waits for every reply and acknowledgement.
			if err := s.Stop(testContext(t)); err != nil {
				t.Error(err)
			}
			if st := s.Stats(); st.RepliesRetried > 2 || st.Undelivered > 1 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A stranger who sends such addresses all the time, well formed ones too, ends connections all the time. Callers that
// use direct reply-to, old ones and new ones, get their replies nevertheless, and no reply of theirs is charged.
func TestDirectRepliesReachTheirCallersBesideAStranger(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	s := newServer(t, url, serveEcho("echo"))
	stranger := newPlainPeer(t, url)
	stop := make(chan struct{})
	var sent int
	var flood sync.WaitGroup
	flood.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			replyTo := directAddress(fmt.Sprintf("nobody@%d", sent), 0)
			if sent%4 == 3 {
				replyTo = wire.DirectReplyTo + ".!!!.???"
			}
			stranger.Publish("echo", amqp.Publishing{ReplyTo: replyTo, CorrelationId: "hostile", Body: []byte("x")})
			sent++
		}
	})
	old := newDirectPeer(t, url)
	for i := range 15 {
		fresh := newDirectPeer(t, url)
		for j := range 10 {
			for _, p := range []*rig.Peer{old, fresh} {
				id := fmt.Sprint(i, j)
				p.Publish("echo", amqp.Publishing{ReplyTo: wire.DirectReplyTo, CorrelationId: id, Body: []byte("x")})
				began := time.Now()
				if d := p.Next(); d.CorrelationId != id {
					t.Fatalf("reply %q to %q", d.CorrelationId, id)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the reply to %s took %v", id, took)
				}
			}
		}
	}
	close(stop)
	flood.Wait()
	patience.Eventually(t, "the stranger is done with", func() bool {
		st := s.Stats()
		return st.Undelivered+st.Dropped == uint64(sent)
	})
	if st := s.Stats(); st.RepliesRetried != 0 || st.Reconnects == 0 {
		t.Errorf("of %d hostile requests: %+v", sent, st)
	}
}

// newDirectPeer is a plain peer that gets its replies directly.
func newDirectPeer(t *testing.T, url string) *rig.Peer {
	t.Helper()
	p := newPlainPeer(t, url)
	replies, err := p.Channel.Consume(wire.DirectReplyTo, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Replies = replies
	return p
}

func TestDirectRepliesReachTheirCallers(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	s := newServer(t, url, serveEcho("echo"))
	p := newPlainPeer(t, url)
	direct, err := p.Channel.Consume(wire.DirectReplyTo, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Replies = direct
	for i := range 20 {
		id := fmt.Sprint(i)
		p.Publish("echo", amqp.Publishing{ReplyTo: wire.DirectReplyTo, CorrelationId: id, Body: []byte("x")})
		if d := p.Next(); d.CorrelationId != id || string(d.Body) != "x" {
			t.Fatalf("reply %+v", d)
		}
	}
	if st := s.Stats(); st.Reconnects != 0 || st.RepliesRetried != 0 || st.Unrouted != 0 {
		t.Errorf("%+v", st)
	}
}

// Requests whose replies are refused, here by their caller's full queue, must
// not keep their places in the prefetch for ever.
func TestUndeliverableRepliesDoNotStopTheMethod(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	s := newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "echo", Concurrency: 4, Prefetch: 4}, rig.Echo)
	})
	p := newPlainPeer(t, url)
	full := amqp.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"}
	if _, err := p.Channel.QueueDeclare("full", false, true, false, false, full); err != nil {
		t.Fatal(err)
	}
	meta := wire.Meta{Kind: wire.KindCall, Attempt: 1, Deadline: time.Now().Add(3 * time.Second), Issued: time.Now()}
	for i := range 9 {
		p.Publish("echo", amqp.Publishing{Type: meta.Encode(), ReplyTo: "full", CorrelationId: fmt.Sprint(i)})
	}
	reply, err := newClient(t, url).Call(testContext(t), "echo", []byte("body"), client.WithTimeout(patience.Soon))
	if err != nil || !bytes.Equal(reply.Body, []byte("body")) {
		t.Fatalf("%v, %v", reply, err)
	}
	patience.Eventually(t, "the others are given up", func() bool { st := s.Stats(); return st.Undelivered+st.Rejected > 0 })
}
