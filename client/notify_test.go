package client_test

import (
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestNotifyReturnsOnceTheBrokerHasTheRequest(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(rig.Named("audit"), g.Handle)
		c := r.Client()
		if err := c.Notify(r.T.Context(), "audit", []byte("x"), client.WithCallID("n")); err != nil {
			r.T.Fatal(err)
		}
		if id := <-g.Entered; id != "n" {
			r.T.Errorf("handled %q", id)
		}
		m := requests(r.Broker, "audit")[0].Message
		if m.ReplyTo != "" || m.Expiration != "" || m.DeliveryMode != amqp.Persistent || withoutNonce(m.Type) != "warren/1;k=call;n=1;t=946684800000" {
			r.T.Errorf("published %+v", m)
		}
		// Its handler has no deadline, and nobody is answered.
		time.Sleep(time.Hour)
		close(g.Release)
		synctest.Wait()
		if st := s.Stats(); st.Handled != 1 || st.Unrouted != 0 || r.Queue("audit").Unacked != 0 {
			r.T.Errorf("%+v", st)
		}
		if st := c.Stats(); st.LateReplies != 0 || st.Pending != 0 || st.Calls != 1 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestNotificationWaitsInTheQueueForAServer(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p := r.Peer()
		if _, err := p.Channel.QueueDeclare("audit", true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
			r.T.Fatal(err)
		}
		if err := r.Client().Notify(r.T.Context(), "audit", []byte("x")); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(time.Hour)
		g := rig.NewGate()
		close(g.Release)
		r.Serve(rig.Named("audit"), g.Handle)
		<-g.Entered
	})
}

func TestNotificationThatNoQueueTakesIsNoRoute(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Client()
		err := c.Notify(r.T.Context(), "nobody.home", nil)
		e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
		if e.Method != "nobody.home" || e.Attempts != 1 || c.Stats().Returned != 1 {
			r.T.Errorf("error is %+v", e)
		}
	})
}

func TestNotificationThatIsNotConfirmedIsUnknown(t *testing.T) {
	for name, test := range map[string]struct {
		fault  amqptest.Action
		opts   []client.CallOption
		code   warren.Code
		reason string
		took   time.Duration
	}{
		"nacked":    {amqptest.Nack(), nil, warren.CodeUnavailable, warren.ReasonNacked, 0},
		"lost":      {amqptest.SeverAfter(), nil, warren.CodeUnavailable, warren.ReasonConnectionLost, 0},
		"no answer": {amqptest.NeverConfirm(), []client.CallOption{client.Idempotent()}, warren.CodeDeadlineExceeded, "", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("audit"), rig.Echo)
				c := r.Ready()
				began := time.Now()
				err := c.Notify(r.T.Context(), "audit", nil, test.opts...)
				e := rig.WantError(r.T, err, test.code, test.reason, warren.Unknown)
				rig.Took(r.T, began, test.took)
				if e.Attempts != 1 || len(requests(r.Broker, "audit")) != 1 {
					r.T.Errorf("error is %+v", e)
				}
			}, amqptest.Rule{When: publishesTo("audit"), Do: test.fault})
		})
	}
}

func TestIdempotentNotificationIsPublishedAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("audit"), rig.Echo)
		c := r.Ready()
		if err := c.Notify(r.T.Context(), "audit", nil, client.Idempotent()); err != nil {
			r.T.Fatal(err)
		}
		if st := c.Stats(); st.Nacked != 1 || st.Republished != 1 {
			r.T.Errorf("%+v", st)
		}
	}, amqptest.Rule{When: publishesTo("audit"), Do: amqptest.Nack()})
}

// Nothing is to come to it.
func TestNotificationOutlivesTheReplyQueue(t *testing.T) {
	for name, opts := range map[string][]client.CallOption{"once": nil, "idempotent": {client.Idempotent()}} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("audit"), rig.Echo)
				c := r.Ready()
				began := time.Now()
				done := make(chan error)
				go func() { done <- c.Notify(r.T.Context(), "audit", nil, opts...) }()
				synctest.Wait()
				if err := r.Broker.DeleteQueue("/", replyQueue(r)); err != nil {
					r.T.Fatal(err)
				}
				rig.WantError(r.T, <-done, warren.CodeDeadlineExceeded, "", warren.Unknown)
				rig.Took(r.T, began, 10*time.Second)
				if n := len(requests(r.Broker, "audit")); n != 1 || c.Stats().Republished != 0 {
					r.T.Errorf("it was published %d times", n)
				}
			}, amqptest.Rule{When: publishesTo("audit"), Do: amqptest.NeverConfirm()})
		})
	}
}
