package client

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
)

// call is one call in flight, shared by the goroutines that joined it. What follows
// from an event is decided by its state; the call tells it the events and carries out
// their effects.
type call struct {
	c        *Client
	req      wire.Request
	asks     *wire.Resolve // what a control request asks; nil for calls and notifications
	settings callSettings
	method   *policy.Method
	deadline time.Time     // of the first caller; what the server is told
	done     chan struct{} // closed when the call has ended
	first    attempt
	last     atomic.Pointer[attempt] // that was made; nil before the first
	made     atomic.Bool             // an interceptor has made the call with the ID that it was given
	version  wire.Version            // in which attempts are written; guarded by mu

	mu    sync.Mutex // held briefly: within it are taken only the locks of budget, latency and reply queue
	state callstate.Call
	timer *time.Timer
	wakes time.Time // when timer fires; zero if it is stopped
}

// newCall returns a call that is not under way.
func (c *Client) newCall(method string, body []byte, opts []CallOption) *call {
	cl := &call{c: c, settings: callSettings{
		noServer: c.cfg.NoServer, persistent: c.cfg.Persistent,
	}}
	s := &cl.settings
	for _, opt := range opts {
		opt(s)
	}
	if !s.named {
		s.callID = newID()
		cl.req.Unique = true
	}
	cl.req.Request = warren.Request{
		Method: method, CallID: s.callID, Attempt: 1, ContentType: s.contentType, ContentEncoding: s.encoding,
		Header: s.header, Body: body, Caller: c.cfg.Caller, UserID: c.cfg.UserID,
	}
	return cl
}

// roundTrip makes the call: the innermost part of it. Its error is an [*warren.Error].
func (cl *call) roundTrip(ctx context.Context) (*warren.Reply, error) {
	c := cl.c
	c.counters.calls.Add(1)
	now := time.Now()
	cl.req.Issued, cl.req.Nonce, cl.req.Bundles = now, c.nonces.Next(), !c.cfg.RepliesOneByOne
	cl.method = c.policies.Method(cl.queue())
	rules := cl.method.Policy()
	if cl.asks != nil {
		rules = c.policies.Table().Policy(cl.req.Method)
	}
	cl.req.Version = cl.choose(now, rules)
	cl.version = cl.req.Version
	var expired <-chan time.Time
	if timer := cl.setDeadline(ctx, now, rules.Timeout); timer != nil {
		expired = timer.C
		defer c.putTimer(timer)
	}
	if err := cl.admit(ctx, now, expired); err != nil {
		return nil, cl.complete(err)
	}
	if err := cl.method.Bulkhead.Acquire(); err != nil {
		return nil, cl.complete(err)
	}
	defer cl.method.Bulkhead.Release()
	shared, err := cl.begin(now, rules)
	if err != nil {
		return nil, cl.complete(err)
	}
	if shared == cl {
		crashpoint.Reached(crashpoint.BeforePublish, cl.req.Method, cl.req.CallID)
		cl.ask(time.Now()) // admit may have waited
	} else {
		c.counters.joined.Add(1)
		cl.req.Issued = shared.req.Issued
	}
	return cl.wait(ctx, expired, shared)
}

// setDeadline sets the call's deadline: the context's, or that of the call's own
// timeout if it is earlier, for which it returns a timer.
func (cl *call) setDeadline(ctx context.Context, now time.Time, usual time.Duration) *time.Timer {
	timeout := cl.settings.timeout
	if d, ok := ctx.Deadline(); ok && (timeout <= 0 || d.Before(now.Add(timeout))) {
		cl.deadline = d
		return nil
	}
	if timeout <= 0 {
		timeout = usual
	}
	cl.deadline = now.Add(timeout)
	timer, _ := cl.c.timers.Get().(*time.Timer)
	timer.Reset(timeout)
	return timer
}

// admit refuses what must not be published.
func (cl *call) admit(ctx context.Context, now time.Time, expired <-chan time.Time) *warren.Error {
	c := cl.c
	if err := wire.CheckRequest(&cl.req.Request, cl.limits()); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if unreachable := c.unreachable(); unreachable != nil {
		return unreachable
	}
	if blocked, reason := c.publisher.Blocked(); blocked {
		return errBlocked(reason)
	}
	if cl.settings.noServer == Wait {
		return nil
	}
	return c.serverCheck.allow(ctx, cl, now, expired)
}

// begin enters the call into the table of pending calls, or joins the one that is
// there. It returns the call to wait for.
func (cl *call) begin(now time.Time, rules *policy.Policy) (*call, *warren.Error) {
	if !cl.settings.oneWay {
		cl.req.Deadline = cl.deadline
	}
	msg, err := cl.encode()
	if err != nil {
		return nil, err
	}
	cl.first.publish.Msg = msg
	cl.done = make(chan struct{})
	cl.state.Begin(callstate.Config{Hedge: rules.Hedge, Latency: cl.method.Latency, OneWay: cl.settings.oneWay},
		rules.Begin(now, cl.deadline, cl.method.Budget, policy.Overrides{
			Attempts: cl.settings.attempts, Idempotent: cl.settings.idempotent, Timeout: cl.settings.timeout,
		}))
	return cl.c.pending.add(cl)
}

// encode returns the message of the first attempt.
func (cl *call) encode() (wire.Message, *warren.Error) {
	if cl.asks != nil {
		return wire.EncodeResolve(&cl.req, *cl.asks)
	}
	mode := wire.Transient
	if cl.settings.persistent {
		mode = wire.Persistent
	}
	return wire.EncodeRequest(&cl.req, mode, cl.limits())
}

// join adds a caller who waits for the call's end, unless the last one is leaving.
func (cl *call) join() bool {
	cl.lock()
	defer cl.mu.Unlock()
	return cl.state.Join()
}

// limits are those of its request.
func (cl *call) limits() wire.Limits {
	limits := cl.c.limits
	limits.Body = cmp.Or(cl.settings.maxRequest, limits.Body)
	return limits
}

// queue is where the call goes. Breaker, budget, bulkhead and latency are those of
// the queue.
func (cl *call) queue() string {
	if cl.asks != nil {
		return wire.ControlQueue(cl.req.Method)
	}
	return cl.req.Method
}

// kind is what its messages are.
func (cl *call) kind() wire.Kind {
	if cl.asks != nil {
		return wire.KindResolve
	}
	return wire.KindCall
}
