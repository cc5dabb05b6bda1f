package client_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// small is a broker whose bounds are under the library's own.
func small(t *testing.T, test func(r *rig.Rig)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		test(rig.New(t, amqptest.Options{Listen: "none", FrameMax: 4096, MaxMessageSize: 64 << 10}))
	})
}

// refusedChannels is how many channels the broker has closed.
func refusedChannels(r *rig.Rig) int {
	return len(r.Broker.Events(amqptest.When{Method: "channel.close", Direction: amqptest.FromBroker, ConnName: "*publishes*"}))
}

func TestRequestThatTheBrokerRefusesEndsAlone(t *testing.T) {
	large := strings.Repeat("x", 64<<10+1)
	for name, test := range map[string]struct {
		body   string
		header string
		code   warren.Code
		reason string
		closes int
	}{
		"body":    {large, "", warren.CodeResourceExhausted, warren.ReasonRequestTooLarge, 1},
		"headers": {"", strings.Repeat("h", 4000), warren.CodeInvalidArgument, warren.ReasonBadRequest, 0},
	} {
		t.Run(name, func(t *testing.T) {
			small(t, func(r *rig.Rig) {
				r.Serve(rig.Named("echo"), rig.Echo)
				c := r.Ready()
				began := time.Now()
				var neighbours []*client.Future
				var refused []*client.Future
				for i := range 60 {
					if i%20 == 10 {
						refused = append(refused, c.Go(r.T.Context(), "echo", []byte(test.body), client.WithHeader("k", test.header), client.Idempotent()))
					}
					neighbours = append(neighbours, c.Go(r.T.Context(), "echo", []byte("x")))
				}
				for _, call := range refused {
					_, err := call.Result()
					if e := rig.WantError(r.T, err, test.code, test.reason, warren.NotExecuted); e.Attempts != 1 {
						r.T.Errorf("%+v", e)
					}
				}
				for i, call := range neighbours {
					if reply, err := call.Result(); err != nil || reply.Attempts != 1 {
						r.T.Errorf("neighbour %d: %+v, %v", i, reply, err)
					}
				}
				_, err := c.Call(r.T.Context(), "echo", []byte(test.body), client.WithHeader("k", test.header))
				rig.WantError(r.T, err, test.code, test.reason, warren.NotExecuted)
				if took := time.Since(began); took > time.Second || refusedChannels(r) != test.closes {
					r.T.Errorf("it took %v, and the broker closed %d channels; want %d", took, refusedChannels(r), test.closes)
				}
			})
		})
	}
}

func TestReplyThatTheBrokerRefusesIsToldAsTooLarge(t *testing.T) {
	large := &warren.Reply{Body: []byte(strings.Repeat("x", 64<<10+1))}
	long := &warren.Reply{Header: warren.Header{"k": strings.Repeat("h", 4000)}}
	failure := warren.Errorf(warren.CodeAborted, "x")
	for name, test := range map[string]struct {
		reply  *warren.Reply
		closes int
	}{"body": {large, 1}, "headers": {long, 0}} {
		t.Run(name, func(t *testing.T) {
			small(t, func(r *rig.Rig) {
				s := r.Serve(rig.Named("m"), func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
					switch string(req.Body) {
					case "fail":
						return nil, failure
					case "refused":
						return test.reply, nil
					default:
						return &warren.Reply{}, nil
					}
				})
				c := r.Ready()
				began := time.Now()
				var calls []*client.Future
				for i := range 60 {
					calls = append(calls, c.Go(r.T.Context(), "m", []byte(map[int]string{0: "refused", 1: "fail"}[i%20])))
				}
				for i, call := range calls {
					switch _, err := call.Result(); i % 20 {
					case 0:
						rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonReplyTooLarge, warren.Executed)
					case 1:
						rig.WantError(r.T, err, warren.CodeAborted, "", warren.Executed)
					default:
						if err != nil {
							r.T.Errorf("neighbour %d: %v", i, err)
						}
					}
				}
				if took := time.Since(began); took > time.Second || refusedChannels(r) != test.closes {
					r.T.Errorf("it took %v, and the broker closed %d channels; want %d", took, refusedChannels(r), test.closes)
				}
				if st := s.Stats(); st.Undelivered > 0 || st.Handled != 60 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}
