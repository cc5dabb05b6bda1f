package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
)

// call is one call in flight, shared by the goroutines that joined it.
type call struct {
	c        *Client
	req      warren.Request
	settings callSettings
	deadline time.Time     // of the first caller; what the server is told
	done     chan struct{} // closed when the call has ended
	first    attempt

	mu       sync.Mutex
	waiters  int
	ended    bool
	reply    *warren.Reply
	err      *warren.Error
	attempts int         // handed to a connection
	proven   int         // of these, proven not to have been executed
	hint     string      // the reason of the last attempt whose fate is unknown
	current  *attempt    // the last one
	retry    *time.Timer // the next one, while it waits
	onItsWay bool        // a repetition waits, or is in line: whatever else is lost, it is enough
}

// attempt is one publish of a call; it is the publisher's Sink.
type attempt struct {
	call    *call
	publish broker.Publishing
	counted bool // guarded by call.mu: it is in attempts
}

// newCall returns a call that is not under way.
func (c *Client) newCall(method string, body []byte, opts []CallOption) *call {
	cl := &call{c: c, settings: callSettings{
		attempts: c.cfg.Attempts, noServer: c.cfg.NoServer, persistent: c.cfg.Persistent,
	}}
	s := &cl.settings
	for _, opt := range opts {
		opt(s)
	}
	if !s.named {
		s.callID = newCallID()
	}
	cl.req = warren.Request{
		Method: method, CallID: s.callID, Attempt: 1, ContentType: s.contentType, ContentEncoding: s.encoding,
		Header: s.header, Body: body, Caller: c.cfg.Caller,
	}
	return cl
}

// roundTrip makes the call: the innermost part of it.
func (cl *call) roundTrip(ctx context.Context) (*warren.Reply, error) {
	c := cl.c
	c.counters.calls.Add(1)
	now := time.Now()
	var expired <-chan time.Time
	timeout, own := cl.settings.timeout, true
	if d, ok := ctx.Deadline(); ok && (timeout <= 0 || d.Before(now.Add(timeout))) {
		cl.deadline, own = d, false
	}
	if own {
		if timeout <= 0 {
			timeout = c.cfg.Timeout
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
		return nil, c.fail(&cl.req, err)
	}
	cl, joined, err := cl.begin(now)
	if err != nil {
		return nil, c.fail(&cl.req, err)
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
		// To give up executes nothing: the outcome is that of the attempts.
		cl.leave(c.ended(ctx, warren.NotExecuted))
	case <-expired:
		cl.leave(errDeadline(warren.NotExecuted))
	}
	return cl.result(ctx)
}

// admit refuses what must not be published.
func (cl *call) admit(ctx context.Context, expired <-chan time.Time) *warren.Error {
	c := cl.c
	if err := wire.CheckRequest(&cl.req, c.limits); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return c.ended(ctx, warren.NotExecuted)
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
	cl.req.Issued = now
	if !cl.settings.oneWay {
		cl.req.Deadline = cl.deadline
	}
	mode := wire.Transient
	if cl.settings.persistent {
		mode = wire.Persistent
	}
	msg, err := wire.EncodeRequest(&cl.req, mode, cl.c.limits)
	if err != nil {
		return cl, false, err
	}
	cl.first.publish.Msg = msg
	return cl.c.pending.add(cl)
}

// publish makes the next attempt. It is called by the caller for the first and
// by timers for later ones.
func (cl *call) publish() {
	cl.mu.Lock()
	if cl.ended {
		cl.mu.Unlock()
		return
	}
	a := &cl.first
	if cl.current != nil {
		a = &attempt{publish: broker.Publishing{Msg: cl.first.publish.Msg}}
	}
	a.call = cl
	a.publish.Key, a.publish.Mandatory, a.publish.Sink = cl.req.Method, true, a
	cl.current = a
	cl.mu.Unlock()
	switch err := cl.c.publisher.Publish(&a.publish); {
	case err == nil:
	case errors.Is(err, broker.ErrBlocked):
		cl.refuseBlocked()
	default:
		cl.finish(nil, errClosed())
	}
}

// refuseBlocked ends a call that the broker's block kept from going out. One of
// which an attempt has gone out waits on: that may be answered.
func (cl *call) refuseBlocked() {
	cl.mu.Lock()
	out := cl.attempts > 0
	if out {
		cl.hint = warren.ReasonBlocked
	}
	cl.mu.Unlock()
	if !out {
		_, reason := cl.c.publisher.Blocked()
		cl.finish(nil, errBlocked(reason))
	}
}

// Writing implements broker.Sink.
func (a *attempt) Writing(now time.Time, msg *wire.Message) bool {
	cl := a.call
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.ended || !now.Before(cl.deadline) {
		return false
	}
	cl.attempts++
	cl.onItsWay = false
	a.counted = true
	if !cl.settings.oneWay {
		msg.ReplyTo = cl.c.replies.name()
		msg.Expiration = wire.Expiration(cl.deadline.Sub(now))
	}
	if cl.attempts > 1 {
		cl.c.counters.republished.Add(1)
		meta := wire.Meta{Kind: wire.KindCall, Attempt: cl.attempts, Issued: cl.req.Issued}
		if !cl.settings.oneWay {
			meta.Deadline = cl.deadline
		}
		msg.Type = meta.Encode()
	}
	return true
}

// Settled implements broker.Sink.
func (a *attempt) Settled(result broker.Result, reason error) {
	cl, c := a.call, a.call.c
	switch result {
	case broker.Acked:
		crashpoint.Reached(crashpoint.Confirmed, cl.req.Method, cl.req.CallID)
		if cl.settings.oneWay {
			cl.finish(&warren.Reply{}, nil)
		}
	case broker.Returned:
		c.counters.returned.Add(1)
		cl.prove(a)
		c.presence.forget(cl.req.Method)
		cl.finish(nil, errNoRoute())
	case broker.Nacked:
		c.counters.nacked.Add(1)
		cl.again(warren.ReasonNacked, time.Duration(rand.Int64N(int64(nackPause))))
	case broker.Lost:
		c.counters.lost.Add(1)
		if broker.IsRefused(reason) {
			cl.finish(nil, errNotPermitted(reason))
			return
		}
		cl.again(warren.ReasonConnectionLost, 0)
	case broker.Unsent:
		switch {
		case errors.Is(reason, broker.ErrBlocked):
			cl.refuseBlocked()
		case errors.Is(reason, broker.ErrClosed):
			cl.finish(nil, errClosed())
		}
		// Otherwise Writing said no: the call has ended, or ends by its timer.
	}
}

// nackPause bounds the random pause before a publish that the broker refused is
// tried again.
const nackPause = 100 * time.Millisecond

// prove notes that the attempt is known not to have been executed.
func (cl *call) prove(a *attempt) {
	cl.mu.Lock()
	if a.counted {
		cl.proven++
		a.counted = false
	}
	cl.mu.Unlock()
}

// again publishes the call once more after the pause, if it may be executed
// twice and attempts are left. If not, the call waits on: the request may have
// arrived, and then a reply comes. A notification has nothing to wait for.
func (cl *call) again(reason string, pause time.Duration) {
	cl.mu.Lock()
	cl.hint = reason
	if cl.ended || cl.onItsWay {
		cl.mu.Unlock()
		return
	}
	if cl.settings.idempotent && cl.attempts < cl.settings.attempts {
		cl.onItsWay = true
		cl.retry = time.AfterFunc(pause, cl.publish)
		cl.mu.Unlock()
		return
	}
	cl.mu.Unlock()
	if cl.settings.oneWay {
		cl.finish(nil, &warren.Error{
			Code: warren.CodeUnavailable, Reason: reason, Outcome: warren.Unknown,
			Message: "the broker did not confirm the request",
		})
	}
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
		err.Outcome = cl.outcome(err)
		err.Attempts = cl.attempts
		_ = cl.c.fail(&cl.req, err)
	}
	cl.reply, cl.err = reply, err
	cl.mu.Unlock()
	cl.c.pending.remove(cl)
	if current != nil {
		cl.c.publisher.Withdraw(&current.publish)
	}
	close(cl.done)
}

// outcome joins what err says of the attempt that it ends with what is known of
// the others. The caller holds mu.
func (cl *call) outcome(err *warren.Error) warren.Outcome {
	if err.Outcome != warren.NotExecuted {
		return err.Outcome
	}
	open := cl.attempts - cl.proven
	if err.Remote {
		open-- // the one that was answered
	}
	if open > 0 {
		return warren.Unknown
	}
	return warren.NotExecuted
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
		return nil, cl.c.fail(&cl.req, err)
	case cl.err != nil:
		e := *cl.err // each caller has an error of its own
		return nil, &e
	default:
		return cl.reply, nil
	}
}
