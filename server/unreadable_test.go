package server_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// publishRaw publishes a message with those headers.
func publishRaw(r *rig.Rig, queue string, p codec.Properties, entries []byte, body string) {
	r.T.Helper()
	header, err := rig.RawHeader(p, entries, len(body))
	if err != nil {
		r.T.Fatal(err)
	}
	if err := rig.NewRaw(r.T, r.Settings()).Publish(queue, header, []byte(body)); err != nil {
		r.T.Fatal(err)
	}
}

func TestUnreadableRequestsAreRefused(t *testing.T) {
	for _, kind := range []server.QueueType{server.Classic, server.Quorum} {
		t.Run(kind, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				s := r.Serve(server.Method{Name: "echo", Queue: server.Queue{Type: kind}}, rig.Echo)
				p := r.Peer()
				for _, table := range rig.HostileTables() {
					publishRaw(r, "echo", codec.Properties{
						Present: codec.HasReplyTo | codec.HasCorrelationID, ReplyTo: p.Queue, CorrelationID: table.Name,
					}, table.Entries, "body")
					d := p.Next()
					want, outcome := "body", ""
					if !table.Served {
						want, outcome = "invalid_argument/bad_request: ", ";o=not_executed"
					}
					if d.CorrelationId != table.Name || !strings.HasPrefix(string(d.Body), want) || !strings.HasSuffix(d.Type, outcome) {
						r.T.Errorf("%s: %q, %q: %q", table.Name, d.CorrelationId, d.Type, d.Body)
					}
				}
				synctest.Wait()
				if q := r.Queue("echo"); q.Ready+q.Unacked != 0 || s.Stats().Reconnects != 0 {
					r.T.Errorf("%+v, %+v", q, s.Stats())
				}
			})
		})
	}
}

// What is known of earlier deliveries must survive the loss of the headers.
func TestUnreadableRequestsThatWereDeadLetteredAreOfUnknownOutcome(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		p := r.Peer()
		table := rig.HostileTables()
		deep := table[len(table)-2].Entries
		publishRaw(r, "echo", codec.Properties{Present: codec.HasReplyTo, ReplyTo: p.Queue}, append([]byte("\x07x-deathV"), deep...), "body")
		if d := p.Next(); !strings.HasSuffix(d.Type, ";r=bad_request;o=unknown") {
			r.T.Errorf("%q: %q", d.Type, d.Body)
		}
	})
}

func TestUnreadableNotificationsAndQuestionsAreDoneWith(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := memstore.New(memstore.Options{})
		r.T.Cleanup(func() { _ = st.Close() })
		s := r.NewServer(func(cfg *server.Config) { cfg.Store = st })
		if err := s.HandleRaw(rig.Named("echo"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		p := r.Peer()
		control := wire.ControlQueue("echo")
		for _, table := range rig.HostileTables() {
			publishRaw(r, "echo", codec.Properties{}, table.Entries, "body")
			if table.Unreadable {
				publishRaw(r, control, codec.Properties{
					Present: codec.HasReplyTo | codec.HasType, ReplyTo: p.Queue, Type: "warren/1;k=resolve;n=1",
				}, table.Entries, `{"call_id":"x"}`)
				if d := p.Next(); !strings.Contains(d.Type, "c=invalid_argument;r=bad_request") {
					r.T.Errorf("%s: %q: %q", table.Name, d.Type, d.Body)
				}
			}
		}
		synctest.Wait()
		for _, name := range []string{"echo", control} {
			if q := r.Queue(name); q.Ready+q.Unacked != 0 || s.Stats().Reconnects != 0 {
				r.T.Errorf("%+v, %+v", q, s.Stats())
			}
		}
	})
}
