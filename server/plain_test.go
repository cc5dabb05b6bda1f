package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rig"
)

func TestPlainCallersAreServed(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer()
		var seen warren.Request
		err := server.Handle(s, rig.Named("double"), func(ctx context.Context, n int) (int, error) {
			seen = *warren.RequestFromContext(ctx)
			if _, limited := ctx.Deadline(); limited {
				r.T.Error("the handler has a deadline that nobody set")
			}
			if n < 0 {
				return 0, warren.Errorf(warren.CodeOutOfRange, "two\nlines").WithReason("negative")
			}
			return 2 * n, nil
		})
		if err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		p := r.Peer()
		for body, want := range map[string]amqp.Delivery{
			"21":  {ContentType: "application/json", Body: []byte("42"), Type: "warren/1;k=reply;n=1"},
			"-21": {ContentType: "text/plain", Body: []byte("out_of_range/negative: two lines"), Type: "warren/1;k=reply;n=1;c=out_of_range;r=negative;o=executed"},
			"x": {
				ContentType: "text/plain", Body: []byte("invalid_argument/malformed_body: the body cannot be decoded: "),
				Type: "warren/1;k=reply;n=1;c=invalid_argument;r=malformed_body;o=not_executed",
			},
		} {
			// What it says of its body is not looked at.
			p.Publish("double", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "1", ContentType: "text/odd", Body: []byte(body)})
			d := p.Next()
			if d.CorrelationId != "1" || d.ContentType != want.ContentType || d.Type != want.Type || !strings.HasPrefix(string(d.Body), string(want.Body)) {
				r.T.Errorf("%s: %+v: %s", body, d, d.Body)
			}
		}
		// Its correlation ID may be missing, and so may its reply address.
		p.Publish("double", amqp.Publishing{ReplyTo: p.Queue, Body: []byte("1")})
		if d := p.Next(); string(d.Body) != "2" || d.CorrelationId != "" {
			r.T.Errorf("%+v", d)
		}
		p.Publish("double", amqp.Publishing{Body: []byte("3")})
		synctest.Wait()
		if !seen.Plain || !seen.OneWay || seen.CallID != "" || seen.Attempt != 1 || !seen.Deadline.IsZero() || s.Stats().Requests != 5 {
			r.T.Errorf("the handler saw %+v; %+v", seen, s.Stats())
		}
	})
}

func TestDirectRepliesReachTheirCallersOverConnectionsOfTheirOwn(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		p := r.Peer()
		p.Replies = p.Consume(wire.DirectReplyTo)
		connections := len(r.Broker.Connections())
		for i := range 3 {
			id := fmt.Sprint(i)
			p.Publish("echo", amqp.Publishing{ReplyTo: wire.DirectReplyTo, CorrelationId: id, Body: []byte("x")})
			if d := p.Next(); d.CorrelationId != id || string(d.Body) != "x" {
				r.T.Errorf("reply %+v", d)
			}
		}
		synctest.Wait()
		st := s.Stats()
		if n := len(r.Broker.Connections()); n != connections+2 || st.Unrouted != 0 || st.RepliesRetried != 0 || st.Reconnects != 0 {
			r.T.Errorf("%d connections; %+v", n, st)
		}
		if q := r.Queue("echo"); q.Unacked != 0 {
			r.T.Errorf("%+v", q)
		}
	})
}

func TestMessagesOutOfBoundsAreAnsweredAndNeverHandled(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer(func(cfg *server.Config) { cfg.MaxRequest = 1000 })
		err := s.HandleRaw(rig.Named("never"), func(context.Context, *warren.Request) (*warren.Reply, error) {
			r.T.Error("a handler ran")
			return nil, nil
		})
		if err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		p := r.Peer()
		many := amqp.Table{}
		for i := range 65 {
			many[fmt.Sprint(i)] = "x"
		}
		const bad, large = "c=invalid_argument;r=bad_request;o=not_executed", "c=resource_exhausted;r=request_too_large;o=not_executed"
		refused := map[string]struct {
			msg  amqp.Publishing
			want string
		}{
			"body":          {amqp.Publishing{Body: make([]byte, 1001)}, large},
			"version":       {amqp.Publishing{Type: "warren/2;k=call"}, bad},
			"metadata":      {amqp.Publishing{Type: "warren/1;k=call;d=yesterday"}, bad},
			"depth":         {amqp.Publishing{Headers: amqp.Table{"a": amqp.Table{"b": amqp.Table{"c": amqp.Table{"d": "e"}}}}}, bad},
			"headers":       {amqp.Publishing{Headers: many}, bad},
			"header":        {amqp.Publishing{Headers: amqp.Table{"k": strings.Repeat("x", 17<<10)}}, bad},
			"call ID":       {amqp.Publishing{CorrelationId: "a\x01b"}, bad},
			"long call ID":  {amqp.Publishing{CorrelationId: strings.Repeat("x", 129)}, bad},
			"warren's body": {amqp.Publishing{Type: "warren/1;k=call;n=1", Body: make([]byte, 1001)}, large},
		}
		for name, test := range refused {
			test.msg.ReplyTo = p.Queue
			p.Publish("never", test.msg)
			if d := p.Next(); !strings.HasPrefix(d.Type, "warren/1;k=reply;") || !strings.Contains(d.Type, test.want) {
				r.T.Errorf("%s: reply of type %q: %s", name, d.Type, d.Body)
			}
		}
		// These must not be answered: they are no requests, or would go round for ever.
		dropped := []amqp.Publishing{
			{Type: "warren/1;k=reply", ReplyTo: p.Queue},
			{Type: "warren/1;k=resolve", ReplyTo: p.Queue},
			{Type: "warren/1;k=cancel", ReplyTo: p.Queue},
			{ReplyTo: "never", CorrelationId: "loop"},
		}
		for _, msg := range dropped {
			p.Publish("never", msg)
		}
		synctest.Wait()
		st := s.Stats()
		if st.Rejected != uint64(len(refused)) || st.Dropped != uint64(len(dropped)) || st.Handled != 0 || st.Reconnects != 0 {
			r.T.Errorf("%+v", st)
		}
		p.NoMore()
		if q := r.Queue("never"); q.Ready+q.Unacked != 0 {
			r.T.Errorf("%+v", q)
		}
	})
}

func TestReplyWhoseCallerIsGoneIsCountedAndTheRequestDone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		r.Peer().Publish("echo", amqp.Publishing{ReplyTo: "no.such.queue", CorrelationId: "1"})
		time.Sleep(time.Second)
		if q := r.Queue("echo"); s.Stats().Unrouted != 1 || q.Ready+q.Unacked != 0 {
			r.T.Errorf("%+v, %+v", s.Stats(), q)
		}
	})
}
