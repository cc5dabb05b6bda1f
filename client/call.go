package client

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
)

// call is one call in flight, shared by the goroutines that joined it.
type call struct {
	c        *Client
	req      wire.Request
	asks     *wire.Resolve // what a control request asks; nil for calls and notifications
	settings callSettings
	deadline time.Time     // of the first caller; what the server is told
	done     chan struct{} // closed when the call has ended
	first    attempt

	method *policy.Method
	policy *policy.Policy

	mu       sync.Mutex
	waiters  int
	ended    bool
	reply    *warren.Reply
	err      *warren.Error
	tries    policy.Attempts
	current  *attempt      // the last that was made; each knows the one before
	attempts int           // handed to a connection
	proven   int           // of these, proven not to have been executed
	executed *warren.Error // what came of the last one that is known to have been, nil if none is
	hint     string        // the reason of the last attempt whose fate is unknown
	retry    *time.Timer   // the next one, while it waits
	onItsWay bool          // a repetition waits, or is in line: whatever else is lost, it is enough
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
		s.callID = newCallID()
	}
	cl.req.Request = warren.Request{
		Method: method, CallID: s.callID, Attempt: 1, ContentType: s.contentType, ContentEncoding: s.encoding,
		Header: s.header, Body: body, Caller: c.cfg.Caller, UserID: c.cfg.UserID,
	}
	return cl
}

// roundTrip makes the call: the innermost part of it.
func (cl *call) roundTrip(ctx context.Context) (*warren.Reply, error) {
	c := cl.c
	c.counters.calls.Add(1)
	now := time.Now()
	cl.req.Issued, cl.req.Nonce = now, c.nonces.Next()
	cl.method = c.policies.Method(cl.queue())
	cl.policy = cl.method.Policy()
	if cl.asks != nil {
		cl.policy = c.policies.Table().Policy(cl.req.Method)
	}
	var expired <-chan time.Time
	timeout, own := cl.settings.timeout, true
	if d, ok := ctx.Deadline(); ok && (timeout <= 0 || d.Before(now.Add(timeout))) {
		cl.deadline, own = d, false
	}
	if own {
		if timeout <= 0 {
			timeout = cl.policy.Timeout
		}
		cl.deadline = now.Add(timeout)
		timer, _ := c.timers.Get().(*time.Timer)
		timer.Reset(timeout)
		defer func() {
			timer.Stop()
			c.timers.Put(timer)
		}()
		expired = timer.C
	}
	if err := cl.admit(ctx, expired); err != nil {
		if err.Reason == "" {
			c.explain(err)
		}
		return nil, c.fail(&cl.req.Request, err)
	}
	if err := cl.method.Bulkhead.Acquire(); err != nil {
		return nil, c.fail(&cl.req.Request, err)
	}
	defer cl.method.Bulkhead.Release()
	cl, joined, err := cl.begin(now)
	if err != nil {
		return nil, c.fail(&cl.req.Request, err)
	}
	if joined {
		c.counters.joined.Add(1)
	} else {
		crashpoint.Reached(crashpoint.BeforePublish, cl.req.Method, cl.req.CallID)
		cl.publish()
	}
	select {
	case <-cl.done:
	case <-ctx.Done():
		if cl.keepOn(ctx) {
			break
		}
		// To give up executes nothing: the outcome is that of the attempts.
		cl.leave(c.ended(ctx, warren.NotExecuted))
	case <-expired:
		cl.leave(errDeadline(warren.NotExecuted))
	}
	return cl.result(ctx)
}

// keepOn waits, for a caller who has gone, until a call that has gone out has ended,
// or until its deadline, and reports whether there was one to wait for.
func (cl *call) keepOn(ctx context.Context) bool {
	cl.mu.Lock()
	out := cl.settings.keepsOn && cl.attempts > 0
	cl.mu.Unlock()
	if !out || !errors.Is(ctx.Err(), context.Canceled) {
		return false
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), cl.deadline)
	defer cancel()
	select {
	case <-cl.done:
	case <-ctx.Done():
		cl.leave(errDeadline(warren.NotExecuted))
	}
	return true
}

// admit refuses what must not be published.
func (cl *call) admit(ctx context.Context, expired <-chan time.Time) *warren.Error {
	c := cl.c
	if err := wire.CheckRequest(&cl.req.Request, cl.limits()); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return c.ended(ctx, warren.NotExecuted)
	}
	if refused := c.refused(); refused != nil {
		return refused
	}
	if blocked, reason := c.publisher.Blocked(); blocked {
		return errBlocked(reason)
	}
	if cl.settings.noServer == Wait {
		return nil
	}
	return c.presence.check(ctx, cl, expired)
}

// begin enters the call into the table of pending calls, or joins the one that
// is there. The call that it returns is never nil.
func (cl *call) begin(now time.Time) (*call, bool, *warren.Error) {
	cl.done, cl.waiters = make(chan struct{}), 1
	cl.tries = cl.policy.Begin(now, cl.deadline, cl.method.Budget, cl.settings.attempts, cl.settings.idempotent,
		policy.OfTimeout(cl.settings.timeout))
	if !cl.settings.oneWay {
		cl.req.Deadline = cl.deadline
	}
	msg, err := cl.encode()
	if err != nil {
		return cl, false, err
	}
	cl.first.publish.Msg = msg
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

// finish ends the call, once, for all who wait. What it is told of the outcome
// holds for the last attempt; others of unknown fate make it Unknown.
func (cl *call) finish(reply *warren.Reply, err *warren.Error) {
	cl.mu.Lock()
	if cl.ended {
		cl.mu.Unlock()
		return
	}
	cl.ended = true
	current := cl.current
	if cl.retry != nil {
		cl.retry.Stop()
	}
	if reply != nil {
		reply.CallID, reply.Attempts = cl.req.CallID, max(cl.attempts, 1)
	}
	if err != nil {
		cl.err = cl.c.fail(&cl.req.Request, cl.joined(err))
	}
	cl.reply = reply
	cl.mu.Unlock()
	cl.c.pending.remove(cl)
	if current != nil {
		cl.c.publisher.Withdraw(&current.publish)
	}
	close(cl.done)
	for a := current; a != nil; a = a.before {
		a.end(err)
	}
}

// joined returns what the call ends with: err, with what is known of the other
// attempts. That one of them could not be made says nothing where another one was
// executed: what came of that is told. The caller holds mu.
func (cl *call) joined(err *warren.Error) *warren.Error {
	switch {
	case cl.executed != nil && err.Outcome == warren.NotExecuted:
		err = cl.executed
	case cl.executed != nil && err.Outcome == warren.Unknown:
		err.Outcome = warren.Executed
		err.Message += "; an attempt before was executed, and ended as " + cl.executed.Code.String()
	case err.Outcome == warren.NotExecuted && cl.attempts > cl.proven:
		err.Outcome = warren.Unknown
		err.Message += "; an attempt before may have been executed"
	}
	err.Attempts = cl.attempts
	return err
}

// leave gives up waiting: for the whole call if nobody else waits for it, and
// otherwise for one caller alone, which result then sees by its own context.
func (cl *call) leave(err *warren.Error) {
	cl.mu.Lock()
	cl.waiters--
	last := cl.waiters == 0
	// A publish that can be taken back was not made: settle that before the
	// outcome is told.
	if last && cl.current != nil {
		cl.c.publisher.Withdraw(&cl.current.publish)
	}
	if cl.attempts == 0 {
		cl.c.explain(err)
	} else {
		err.Reason = cl.hint
	}
	cl.mu.Unlock()
	if last {
		cl.finish(nil, err)
	}
}

// result returns how the call ended; if it has not, its caller has left it.
func (cl *call) result(ctx context.Context) (*warren.Reply, error) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	switch {
	case !cl.ended:
		err := cl.c.ended(ctx, warren.Unknown)
		err.Attempts = cl.attempts
		return nil, cl.c.fail(&cl.req.Request, err)
	case cl.err != nil:
		e := *cl.err // each caller has an error of its own
		return nil, &e
	default:
		return cl.reply, nil
	}
}
