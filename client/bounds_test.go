package client_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rig"
)

func TestPendingCallsAreBoundedInNumber(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client(func(cfg *client.Config) { cfg.MaxPending = 2 })
		calls := []*client.Future{c.Go(r.T.Context(), "gate", nil), c.Go(r.T.Context(), "gate", nil)}
		synctest.Wait()
		_, err := c.Call(r.T.Context(), "gate", nil)
		rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonQueueFull, warren.NotExecuted)
		err = c.Notify(r.T.Context(), "gate", nil)
		rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonQueueFull, warren.NotExecuted)
		close(g.Release)
		for _, call := range calls {
			if _, err := call.Result(); err != nil {
				r.T.Error(err)
			}
		}
		mustCall(r, c, "gate", "there is room again")
	})
}

func TestPendingCallsAreBoundedInBytes(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client(func(cfg *client.Config) { cfg.MaxPendingBytes = 1000 })
		call := c.Go(r.T.Context(), "gate", make([]byte, 600))
		synctest.Wait()
		_, err := c.Call(r.T.Context(), "gate", make([]byte, 401))
		rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonQueueFull, warren.NotExecuted)
		fits := c.Go(r.T.Context(), "gate", make([]byte, 400))
		synctest.Wait()
		if st := c.Stats(); st.Pending != 2 || st.PendingBytes != 1000 {
			r.T.Errorf("%+v", st)
		}
		close(g.Release)
		for _, call := range []*client.Future{call, fits} {
			if _, err := call.Result(); err != nil {
				r.T.Error(err)
			}
		}
		if st := c.Stats(); st.Pending != 0 || st.PendingBytes != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestCallOutOfBoundsNeverReachesTheWire(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Ready(func(cfg *client.Config) { cfg.MaxRequest, cfg.NoServer = 1000, client.Wait })
		long := strings.Repeat("x", 300)
		var many []client.CallOption
		for i := range 65 {
			many = append(many, client.WithHeader("k"+strings.Repeat("x", i), ""))
		}
		for name, test := range map[string]struct {
			method string
			body   []byte
			opts   []client.CallOption
			code   warren.Code
			reason string
		}{
			"body":             {"m", make([]byte, 1001), nil, warren.CodeResourceExhausted, warren.ReasonRequestTooLarge},
			"method":           {"no/such", nil, nil, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"reserved method":  {"warren.x", nil, nil, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"long method":      {long, nil, nil, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"call ID":          {"m", nil, []client.CallOption{client.WithCallID(long)}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"empty call ID":    {"m", nil, []client.CallOption{client.WithCallID("")}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"content type":     {"m", nil, []client.CallOption{client.WithContentType(long)}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"content encoding": {"m", nil, []client.CallOption{client.WithContentEncoding(long)}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"header name":      {"m", nil, []client.CallOption{client.WithHeader(long, "")}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"header value":     {"m", nil, []client.CallOption{client.WithHeader("k", strings.Repeat("x", 17<<10))}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"carbon copy":      {"m", nil, []client.CallOption{client.WithHeader("CC", "x")}, warren.CodeInvalidArgument, warren.ReasonBadRequest},
			"headers":          {"m", nil, many, warren.CodeInvalidArgument, warren.ReasonBadRequest},
		} {
			_, err := c.Call(r.T.Context(), test.method, test.body, test.opts...)
			e, _ := warren.AsError(err)
			if e == nil || e.Code != test.code || e.Reason != test.reason || e.Outcome != warren.NotExecuted || e.Attempts != 0 {
				r.T.Errorf("%s: %v", name, err)
			}
		}
		if st := c.Stats(); len(requests(r.Broker, "*")) != 0 || st.Reconnects != 0 || st.Pending != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestReplyOverTheClientsBoundWasExecuted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client(func(cfg *client.Config) { cfg.MaxReply = 1000 })
		mustCall(r, c, "echo", strings.Repeat("x", 1000))
		_, err := c.Call(r.T.Context(), "echo", make([]byte, 1001))
		e := rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonReplyTooLarge, warren.Executed)
		if e.Remote || e.Attempts != 1 {
			r.T.Errorf("error is %+v", e)
		}
	})
}
