package client_test

import (
	"bytes"
	"testing"
	"testing/synctest"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/test/rig"
)

// result is the reply to a request that a plain server got.
func result(t *testing.T, req amqp.Delivery, body string) *amqp.Publishing {
	t.Helper()
	msg := wire.EncodeReply(requestOf(t, req), &warren.Reply{ContentType: "text/plain", Body: []byte(body)}, wire.Transient, wire.DefaultLimits())
	return &msg
}

// Each reply of a bundle is taken as if it had come alone, whatever the others are.
func TestRepliesOfABundleAreTakenOneByOne(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p, arrived := plainServer(r, "m")
		c := r.Ready(wait)
		var calls []*client.Future
		var requests []amqp.Delivery
		for i := range 5 {
			opts := []client.CallOption{}
			if i == 4 {
				opts = append(opts, client.WithCallID("order-7"))
			}
			calls = append(calls, c.Go(r.T.Context(), "m", nil, opts...))
			requests = append(requests, <-arrived)
		}
		first, second := result(r.T, requests[0], "first"), result(r.T, requests[1], "second")
		failed := wire.EncodeError(requestOf(r.T, requests[2]), &warren.Error{Code: warren.CodeNotFound, Outcome: warren.Executed}, wire.Transient)
		unreadable, another := result(r.T, requests[3], "x"), result(r.T, requests[4], "x")
		unreadable.Type = "warren/2r;;"
		another.Type = "warren/2r;xanother1"
		nobodys := result(r.T, requests[0], "x")
		nobodys.CorrelationId = "nobody"
		p.Publish(requests[0].ReplyTo, wire.EncodeBundle([]*amqp.Publishing{
			nobodys, unreadable, first, another, &failed, first, {Type: "warren/2r"}, second,
		}))
		for i, want := range []string{"first", "second"} {
			if reply, err := calls[i].Result(); err != nil || string(reply.Body) != want || reply.ContentType != "text/plain" || reply.Attempts != 1 {
				r.T.Errorf("%+v, %v", reply, err)
			}
		}
		_, err := calls[2].Result()
		rig.WantError(r.T, err, warren.CodeNotFound, "", warren.Executed)
		_, err = calls[3].Result()
		rig.WantError(r.T, err, warren.CodeInternal, warren.ReasonBadReply, warren.Unknown)
		synctest.Wait()
		// nobody's, another invocation's, the second copy, and the one without an ID
		if st := c.Stats(); st.Bundled != 8 || st.Replies != 4 || st.LateReplies != 4 || st.Unreadable != 0 || st.Pending != 1 {
			r.T.Errorf("%+v", st)
		}
		p.Publish(requests[4].ReplyTo, *result(r.T, requests[4], "alone"))
		if reply, err := calls[4].Result(); err != nil || string(reply.Body) != "alone" {
			r.T.Errorf("%+v, %v", reply, err)
		}
		if q := r.Queue(requests[0].ReplyTo); q.Ready != 0 {
			r.T.Errorf("%+v", q)
		}
	})
}

// The bound of a reply's size is that of its call.
func TestRepliesOfABundleAreBoundedByTheirCalls(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p, arrived := plainServer(r, "m")
		c := r.Ready(wait)
		small := c.Go(r.T.Context(), "m", nil, client.WithMaxReply(3))
		one := <-arrived
		usual := c.Go(r.T.Context(), "m", nil)
		other := <-arrived
		p.Publish(one.ReplyTo, wire.EncodeBundle([]*amqp.Publishing{result(r.T, one, "1234"), result(r.T, other, "1234")}))
		_, err := small.Result()
		rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonReplyTooLarge, warren.Executed)
		if reply, err := usual.Result(); err != nil || string(reply.Body) != "1234" {
			r.T.Errorf("%+v, %v", reply, err)
		}
	})
}

// Whose the replies are that cannot be told apart, nobody knows: they are dropped, and
// the client goes on.
func TestBundleThatCannotBeTakenApartIsDropped(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p, arrived := plainServer(r, "m")
		c := r.Ready(wait)
		call := c.Go(r.T.Context(), "m", nil)
		req := <-arrived
		whole := wire.EncodeBundle([]*amqp.Publishing{result(r.T, req, "x"), result(r.T, req, "y")})
		n := 0
		for length := range whole.Body { // all but the whole
			lie := whole
			lie.Body = whole.Body[:length]
			p.Publish(req.ReplyTo, lie)
			n++
		}
		for _, body := range [][]byte{append(bytes.Clone(whole.Body), 0), {0}, bytes.Repeat([]byte{255}, 1<<16)} {
			p.Publish(req.ReplyTo, amqp.Publishing{Type: whole.Type, Body: body})
			n++
		}
		synctest.Wait()
		if st := c.Stats(); st.Unreadable != uint64(n) || st.Replies != 0 || st.Bundled != 0 || st.Pending != 1 {
			r.T.Errorf("%d messages: %+v", n, st)
		}
		p.Publish(req.ReplyTo, whole)
		if reply, err := call.Result(); err != nil || string(reply.Body) != "x" {
			r.T.Errorf("%+v, %v", reply, err)
		}
	})
}
