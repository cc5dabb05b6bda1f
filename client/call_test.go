package client_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestReplyIsTheHandlersWithTheCallsIDAndAttempts(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client()
		body := bytes.Repeat([]byte("0123456789"), 50_000) // several frames
		reply, err := c.Call(r.T.Context(), "echo", body, client.WithCallID("order 7"), client.WithHeader("k", "v"),
			client.WithHeader("k2", ""), client.WithContentType("text/plain"), client.WithContentEncoding("utf-8"))
		if err != nil {
			r.T.Fatal(err)
		}
		if !bytes.Equal(reply.Body, body) || len(reply.Header) != 2 || reply.Header["k"] != "v" ||
			reply.ContentType != "text/plain" || reply.ContentEncoding != "utf-8" {
			r.T.Errorf("reply of %d bytes, %v, %s, %s", len(reply.Body), reply.Header, reply.ContentType, reply.ContentEncoding)
		}
		if reply.CallID != "order 7" || reply.Attempts != 1 || reply.Plain || reply.Replayed {
			r.T.Errorf("reply to %q after %d attempts, plain %v, replayed %v", reply.CallID, reply.Attempts, reply.Plain, reply.Replayed)
		}
	})
}

func TestRequestSaysWhatTheRecipeAndWarrenNeed(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client(func(cfg *client.Config) { cfg.Caller = "billing" })
		reply := mustCall(r, c, "echo", "x", client.WithTimeout(3*time.Second))
		mustCall(r, c, "echo", "x", client.WithPersistence())
		sent := requests(r.Broker, "echo")
		m := sent[0].Message
		if sent[0].Exchange != "" || !sent[0].Mandatory || m.CorrelationID != reply.CallID || m.ReplyTo != replyQueue(r) ||
			m.Expiration != "3000" || m.AppID != "billing" || m.ContentType != "" || m.DeliveryMode != 0 {
			r.T.Errorf("published %+v: %+v", sent[0], m)
		}
		// The bubble's time begins on 2000-01-01.
		if m.Type != "warren/2c;tc2wfoqo0;b" || len(m.Headers) != 0 {
			r.T.Errorf("type %s, headers %v", m.Type, m.Headers)
		}
		if again := sent[1].Message; again.DeliveryMode != amqp.Persistent || again.CorrelationID == m.CorrelationID {
			r.T.Errorf("published %+v", again)
		}
		persistent := r.Client(func(cfg *client.Config) { cfg.Persistent = true })
		mustCall(r, persistent, "echo", "x")
		if m := requests(r.Broker, "echo")[2].Message; m.DeliveryMode != amqp.Persistent {
			r.T.Errorf("published %+v", m)
		}
	})
}

type sum struct {
	A, B  int
	Total int
}

func TestTypedCallSpeaksTheClientsCodec(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("add"), func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			switch req.ContentType {
			case "application/json":
				return &warren.Reply{Body: []byte(`{"Total":3}`)}, nil
			default:
				return &warren.Reply{Body: []byte("not JSON, as " + req.ContentType)}, nil
			}
		})
		c := r.Client()
		ctx := r.T.Context()
		if got, err := client.Call[sum](ctx, c, "add", sum{A: 1, B: 2}); err != nil || got.Total != 3 {
			r.T.Errorf("%+v, %v", got, err)
		}
		if m := requests(r.Broker, "add")[0].Message; string(m.Body) != `{"A":1,"B":2,"Total":0}` {
			r.T.Errorf("published %s", m.Body)
		}
		// Bytes pass as they are, both ways, and the caller's content type stands.
		got, err := client.Call[[]byte](ctx, c, "add", []byte("raw"), client.WithContentType("text/x"))
		if err != nil || string(got) != "not JSON, as text/x" {
			r.T.Errorf("%s, %v", got, err)
		}
		_, err = client.Call[sum](ctx, c, "add", sum{}, client.WithContentType("text/y"))
		e := rig.WantError(r.T, err, warren.CodeInternal, warren.ReasonBadReply, warren.Executed)
		if e.Method != "add" || e.CallID == "" || e.Attempts != 1 || e.Cause == nil {
			r.T.Errorf("error is %+v", e)
		}
		calls := c.Stats().Calls
		_, err = client.Call[sum](ctx, c, "add", make(chan int))
		rig.WantError(r.T, err, warren.CodeInvalidArgument, warren.ReasonMalformedBody, warren.NotExecuted)
		if c.Stats().Calls != calls {
			r.T.Error("a call whose request cannot be encoded has begun")
		}
		upper := r.Client(func(cfg *client.Config) { cfg.Codec = shouting{} })
		text, err := client.Call[string](ctx, upper, "add", "quietly")
		if m := requests(r.Broker, "add")[3].Message; err != nil || text != "not JSON, as text/loud" ||
			m.ContentType != "text/loud" || string(m.Body) != "QUIETLY" {
			r.T.Errorf("%q, %v; published %+v", text, err, m)
		}
	})
}

// shouting is a codec of strings.
type shouting struct{}

func (shouting) ContentType() string { return "text/loud" }

func (shouting) Marshal(v any) ([]byte, error) {
	s, ok := v.(string)
	if !ok {
		return nil, errors.New("not a string")
	}
	return []byte(strings.ToUpper(s)), nil
}

func (shouting) Unmarshal(data []byte, v any) error {
	s, ok := v.(*string)
	if !ok {
		return errors.New("not a string")
	}
	*s = string(data)
	return nil
}

func TestServersErrorReachesTheCallerWhole(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("fail"), func(context.Context, *warren.Request) (*warren.Reply, error) {
			return nil, warren.Errorf(warren.CodeNotFound, "no user %d", 7).WithReason("no_user").
				WithDetail("id", "7").WithRetryAfter(2 * time.Second)
		})
		_, err := r.Client().Call(r.T.Context(), "fail", nil, client.WithCallID("c"))
		e := rig.WantError(r.T, err, warren.CodeNotFound, "no_user", warren.Executed)
		if !e.Remote || e.Message != "no user 7" || e.Details["id"] != "7" || e.RetryAfter != 2*time.Second ||
			e.Method != "fail" || e.CallID != "c" || e.Attempts != 1 {
			r.T.Errorf("error is %+v", e)
		}
	})
}

func TestGoReturnsAtOnceAndResultWaits(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		f := c.Go(r.T.Context(), "gate", []byte("x"))
		<-g.Entered
		select {
		case <-f.Done():
			r.T.Error("done before the reply")
		default:
		}
		close(g.Release)
		for range 2 {
			if reply, err := f.Result(); err != nil || string(reply.Body) != "x" {
				r.T.Errorf("%v, %v", reply, err)
			}
		}
		<-f.Done()
		// It ends by its deadline whether or not anybody waits for it.
		slow := rig.NewGate()
		r.Serve(rig.Named("slow"), slow.Handle)
		forgotten := c.Go(context.Background(), "slow", nil)
		time.Sleep(10 * time.Second)
		<-forgotten.Done()
	})
}

func TestPlainServersReplyIsTheResult(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p, arrived := plainServer(r, "plain")
		c := r.Client()
		call := c.Go(r.T.Context(), "plain", []byte("x"))
		req := <-arrived
		p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: req.CorrelationId, ContentType: "a/b", Body: []byte("y")})
		reply, err := call.Result()
		if err != nil || string(reply.Body) != "y" || reply.ContentType != "a/b" || !reply.Plain {
			r.T.Errorf("%+v, %v", reply, err)
		}
	})
}

func TestRepliesThatNobodyWaitsForAreDroppedAndCounted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p, arrived := plainServer(r, "plain")
		c := r.Client()
		answered := c.Go(r.T.Context(), "plain", nil)
		req := <-arrived
		for _, id := range []string{"somebody else's", "", req.CorrelationId, req.CorrelationId} {
			p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: id, Body: []byte("first with its ID")})
		}
		if _, err := answered.Result(); err != nil {
			r.T.Error(err)
		}
		time.Sleep(time.Second)
		if st := c.Stats(); st.LateReplies != 3 || st.Replies != 1 {
			r.T.Errorf("%+v", st)
		}
		if q := r.Queue(req.ReplyTo); q.Ready+q.Unacked != 0 {
			r.T.Errorf("they are still in the queue: %+v", q)
		}
	})
}

func TestReplyThatCannotBeUnderstoodIsBadAndUnknown(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p, arrived := plainServer(r, "plain")
		c := r.Client()
		for name, bad := range map[string]amqp.Publishing{
			"another version": {Type: "warren/9;k=reply"},
			"a request":       {}, // its own, as a careless server copies it
			"deep headers":    {Headers: amqp.Table{"a": amqp.Table{"b": amqp.Table{"c": amqp.Table{"d": "e"}}}}},
		} {
			call := c.Go(r.T.Context(), "plain", nil)
			req := <-arrived
			bad.CorrelationId = req.CorrelationId
			if name == "a request" {
				bad.Type = req.Type
			}
			p.Publish(req.ReplyTo, bad)
			_, err := call.Result()
			if e, _ := warren.AsError(err); e == nil || e.Reason != warren.ReasonBadReply || e.Outcome != warren.Unknown {
				r.T.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The servers of an earlier version repeat the instant alone.
func TestReplyWithoutANonceToACallThatWasGivenUpDoesNotAnswerTheNextOfItsID(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p, arrived := plainServer(r, "pay")
		c := r.Client()
		key := client.WithCallID("order-7")
		_, err := c.Call(r.T.Context(), "pay", nil, key, client.WithTimeout(time.Second))
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		first := <-arrived
		again := c.Go(r.T.Context(), "pay", nil, key)
		second := <-arrived
		answer := func(req amqp.Delivery, body string) {
			issued := withoutNonce(req.Type)[strings.Index(req.Type, ";t=")+3:]
			p.Publish(req.ReplyTo, amqp.Publishing{
				CorrelationId: req.CorrelationId, Type: "warren/1;k=reply;n=1;t=" + issued, Body: []byte(body),
			})
		}
		answer(first, "late")
		answer(second, "in time")
		if reply, err := again.Result(); err != nil || string(reply.Body) != "in time" {
			r.T.Errorf("%v, %v", reply, err)
		}
		if st := c.Stats(); st.LateReplies != 1 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestReplyMayComeBeforeItsConfirm(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client()
		began := time.Now()
		mustCall(r, c, "echo", "x")
		rig.Took(r.T, began, 0)
		if st := c.Stats(); st.Pending != 0 || st.PendingBytes != 0 {
			r.T.Errorf("%+v", st)
		}
	}, amqptest.Rule{When: publishesTo("echo"), Do: amqptest.NeverConfirm()})
}
