package client_test

import (
	"strings"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/rig"
)

func TestUnreadableRepliesAreDroppedAndCounted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p := r.Peer()
		requests := p.Consume(p.Declare("plain", nil))
		log := &rig.Log{}
		c := r.Client(func(cfg *client.Config) { cfg.Logger = log.Logger() })
		unreadable := uint64(0)
		for _, table := range rig.HostileTables() {
			call := c.Go(r.T.Context(), "plain", nil)
			request := <-requests
			answer := func(entries []byte, body string) {
				header, err := rig.RawHeader(codec.Properties{
					Present: codec.HasCorrelationID, CorrelationID: request.CorrelationId,
				}, entries, len(body))
				if err != nil {
					r.T.Fatal(err)
				}
				if err := rig.NewRaw(r.T, r.Settings()).Publish(request.ReplyTo, header, []byte(body)); err != nil {
					r.T.Fatal(err)
				}
			}
			answer(table.Entries, "hostile")
			answer(nil, "plain")
			reply, err := call.Result()
			switch {
			case table.Unreadable:
				unreadable++
				if err != nil || string(reply.Body) != "plain" {
					r.T.Errorf("%s: %v, %v", table.Name, reply, err)
				}
			case table.Served:
				if err != nil || string(reply.Body) != "hostile" {
					r.T.Errorf("%s: %v, %v", table.Name, reply, err)
				}
			default:
				rig.WantError(r.T, err, warren.CodeInternal, warren.ReasonBadReply, warren.Unknown)
			}
		}
		if st := c.Stats(); st.Unreadable != unreadable || unreadable == 0 || st.Reconnects != 0 {
			r.T.Errorf("%d were unreadable: %+v", unreadable, st)
		}
		if n := uint64(strings.Count(log.String(), "a reply was dropped")); n != min(unreadable, 3) || n == unreadable {
			r.T.Errorf("%d were unreadable, and %d lines say so", unreadable, n)
		}
	})
}
