package server_test

import (
	"strings"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// One tenant's ID is not another's, whatever the request; a question needs the tenant
// to find the call.
func TestTenantsAreKeptApart(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var runs atomic.Int32
		m := in(mode)
		m.Dedupe.Tenant = server.TenantHeader("tenant")
		s := serve(r, alone(r, memstore.Options{}), m, counting(&runs))
		as := func(tenant, body string) string {
			r.T.Helper()
			if tenant == "" {
				return ask(r, "k", body)
			}
			return ask(r, "k", body, client.WithHeader("tenant", tenant))
		}
		want(r, "blue", as("blue", "x"), "1")
		want(r, "red, with another body", as("red", "y"), "2")
		want(r, "nobody", as("", "z"), "3")
		want(r, "blue again", as("blue", "x"), "1, replayed")
		want(r, "red again", as("red", "y"), "2, replayed")
		want(r, "nobody again", as("", "z"), "3, replayed")
		want(r, "red, with blue's", as("red", "x"), "already_exists/key_reused, not_executed")
		want(r, "of blue's", resolved(r, "k", client.ResolveHeader("tenant", "blue")), "completed, executed: 1")
		want(r, "of red's", resolved(r, "k", knows("y"), client.ResolveHeader("tenant", "red")), "completed, executed: 2")
		want(r, "of nobody's", resolved(r, "k", knows("z")), "completed, executed: 3")
		if told := resolved(r, "k", client.ResolveHeader("tenant", "green")); !strings.HasPrefix(told, "canceled") {
			r.T.Errorf("of green's: %s", told)
		}
		// Plain callers have tenants within their reply queues.
		p := r.Peer()
		for i, tenant := range []string{"blue", "red", "blue"} {
			p.Publish("m", amqp.Publishing{
				CorrelationId: "1", ReplyTo: p.Queue, Body: []byte(tenant), Headers: amqp.Table{"tenant": tenant},
			})
			want(r, "plain "+tenant, string(p.Next().Body), []string{"4", "5", "4"}[i])
		}
		if runs.Load() != 5 || s.Stats().Claims != 5 {
			r.T.Errorf("%d runs, %+v", runs.Load(), s.Stats())
		}
	})
}

// The application's function may fail as a handler does: the request is refused, and
// the others go on.
func TestTenantThatCannotBeToldIsRefused(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var runs atomic.Int32
		m := in(server.AtMostOnce)
		m.Dedupe.Tenant = func(req *warren.Request) string {
			if req.CallID == "bad" {
				panic("no such tenant")
			}
			return req.Header["tenant"]
		}
		s := serve(r, alone(r, memstore.Options{}), m, counting(&runs))
		want(r, "bad", ask(r, "bad", "x"), "internal/panic, not_executed")
		want(r, "of bad's", resolved(r, "bad"), "internal/panic, unknown")
		want(r, "good", ask(r, "good", "x"), "1")
		if s.Stats().Panics != 2 {
			r.T.Errorf("%+v", s.Stats())
		}
	})
}
