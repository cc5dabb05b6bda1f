package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/reliability"
)

// Client calls methods over one broker or cluster. All its methods may be
// called concurrently. It keeps two connections: one publishes, the other
// consumes, so that a broker that blocks publishers does not hold up replies.
type Client struct {
	cfg    Config
	limits wire.Limits // of requests
	invoke warren.Handler

	publishing  *broker.Link
	consuming   *broker.Link
	publisher   *broker.Publisher
	replies     *replyQueue
	prober      *broker.Prober
	serverCheck *serverCheck
	pending     *pending
	reach       atomic.Pointer[reach]
	policies    *policy.Set
	nonces      *wire.Nonces
	counters    counters

	// timers are reused: a call needs one unless its context brings its own. The
	// pool is the client's, because a timer that was made in a testing/synctest
	// bubble must not be used outside of it.
	timers     sync.Pool
	background lifecycle.Runner
	locking    func() // a test's: called when a call's lock is about to be taken
	closing    chan struct{}
	closeOnce  sync.Once
}

// New returns a client that connects in the background and goes on trying until
// it is closed. It does not wait for a connection: calls do, until their
// deadlines; so does [Client.Ready]. The error names the field of cfg that is
// wrong.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	policies, err := policy.NewTable(cfg.Policies.Methods)
	if err != nil {
		return nil, fmt.Errorf("warren: client.Config.Policies: %w", err)
	}
	c := &Client{
		cfg: cfg, limits: wire.DefaultLimits(), prober: broker.NewProber(), serverCheck: newServerCheck(),
		pending: newPending(cfg.MaxPending, cfg.MaxPendingBytes), closing: make(chan struct{}),
		policies: policy.NewSet(policies, cfg.breakerChanged()), nonces: wire.NewNonces(),
	}
	c.limits.Body = cfg.MaxRequest
	c.timers.New = stoppedTimer
	c.reach.Store(newReach(nil))
	c.publisher = broker.NewPublisher(broker.PublisherConfig{
		Logger: cfg.Logger, Held: true, Paced: true, Written: c.writtenHook(),
	})
	c.replies = newReplyQueue(c)
	c.publishing = broker.NewLink(cfg.Broker, "warren client, publishes", cfg.Logger, c.publisher)
	c.consuming = broker.NewLink(cfg.Broker, "warren client, consumes", cfg.Logger, c.replies.consumer, c.prober)
	if len(cfg.Interceptors) > 0 {
		c.invoke = warren.Chain(c.innermost, cfg.Interceptors...)
	}
	ctx := context.Background()
	for _, start := range []func() error{
		func() error {
			err := c.background.Start()
			c.background.Go(c.watchReach)
			return err
		},
		func() error { return c.publishing.Start(ctx) },
		func() error { return c.consuming.Start(ctx) },
	} {
		if err := start(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func stoppedTimer() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (c *Client) putTimer(t *time.Timer) {
	t.Stop()
	c.timers.Put(t)
}

// Ready waits until the client is connected and its reply queue is consumed.
// It fails at once if every broker refuses the credentials or the virtual host,
// or does not let the client have a reply queue, and otherwise when ctx ends. So
// do calls, while that is so. The error is an [*warren.Error] with reason not_connected or not_permitted.
func (c *Client) Ready(ctx context.Context) error {
	for {
		published, publisherChanged, _ := c.publisher.Up().Get()
		consumed, consumerChanged, _ := c.replies.consumer.Up().Get()
		if published && consumed {
			return nil
		}
		reach := c.reach.Load()
		if reach.err != nil {
			return errRefused(reach.err)
		}
		select {
		case <-publisherChanged:
		case <-consumerChanged:
		case <-reach.over:
		case <-c.closing:
			return errClosed()
		case <-ctx.Done():
			err := errors.Join(ctx.Err(), c.notConnected())
			return &warren.Error{
				Code: warren.CodeUnavailable, Reason: warren.ReasonNotConnected, Outcome: warren.NotExecuted,
				Message: trim(c.notConnected()), Cause: err,
			}
		}
	}
}

// notConnected says why calls cannot go out.
func (c *Client) notConnected() error {
	if err := c.publishing.LastErr(); err != nil {
		return err
	}
	if _, _, err := c.replies.consumer.Up().Get(); err != nil {
		return err
	}
	return c.publishing.NotConnected()
}

// Call publishes body to method and waits for the reply until the deadline of
// ctx, or that of the method's policy if it has none. The error is always an
// [*warren.Error]; its Outcome says whether the handler can have run.
//
// The handler may run more than once for one call: the broker hands a request
// out again when a server dies. The client itself publishes a call again only
// if it is [Idempotent].
//
// body is read until Call returns. It may be read after that if the error's outcome
// is Unknown, and if it has 16 KiB or more and the call was published more than once,
// as an [Idempotent] one may be: what is being written when the reply comes to another
// attempt goes out to its end. Do not change it then.
func (c *Client) Call(ctx context.Context, method string, body []byte, opts ...CallOption) (*warren.Reply, error) {
	return c.do(ctx, c.newCall(method, body, opts))
}

// Notify publishes body to method and returns once the broker has taken it; no
// reply is awaited and the handler's end is not known. It does not ask for a
// live server: the request waits in the queue, without an expiration, as long
// as the queue keeps it. An error with the outcome Unknown means that the
// request may have been taken.
func (c *Client) Notify(ctx context.Context, method string, body []byte, opts ...CallOption) error {
	cl := c.newCall(method, body, opts)
	s := &cl.settings
	s.oneWay, s.persistent, s.noServer = true, true, Wait
	cl.req.OneWay = true
	_, err := c.do(ctx, cl)
	return err
}

type callKey struct{}

// do runs the call through the interceptors, if there are any.
func (c *Client) do(ctx context.Context, cl *call) (*warren.Reply, error) {
	if c.invoke == nil {
		return cl.roundTrip(ctx)
	}
	reply, err := c.invoke(context.WithValue(ctx, callKey{}, cl), &cl.req.Request)
	if err == nil && reply == nil {
		err = errors.New("an interceptor returned neither a reply nor an error")
	}
	if err == nil {
		return reply, nil
	}
	if e, ok := err.(*warren.Error); ok { //nolint:errorlint // a wrapped one is made bare below
		return nil, e
	}
	return nil, complete(&cl.req.Request, foreign(err))
}

// innermost ends the chain of interceptors. An interceptor may come here more
// than once, with other requests: each time is a call of its own.
func (c *Client) innermost(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
	cl, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return nil, complete(req, &warren.Error{
			Code: warren.CodeInternal, Outcome: warren.NotExecuted, Message: "an interceptor replaced the context of the call",
		})
	}
	again := &call{c: c, req: wire.Request{Request: *req}, settings: cl.settings}
	again.req.Unique = cl.req.Unique && req.CallID == cl.settings.callID && cl.made.CompareAndSwap(false, true)
	return again.roundTrip(ctx)
}

// SetPolicies replaces the policies while calls are made, as when their file has
// changed. Breakers keep their state, budgets the share of their tokens that is left;
// calls in flight end by the policy that they began with. The error is the one that
// [New] has for the same Config.Policies; the policies then stay as they were. It is
// safe for concurrent use.
func (c *Client) SetPolicies(rules reliability.Rules) error {
	table, err := policy.NewTable(rules.Methods)
	if err != nil {
		return err
	}
	c.policies.Reload(time.Now(), table)
	return nil
}

// Timeout returns the deadline of calls of a method whose context has none, by its
// policy at present.
func (c *Client) Timeout(method string) time.Duration {
	return c.policies.Table().Policy(method).Timeout
}

// Breaker returns the circuit breaker of a method, to be looked at or forced. Of the
// first 10,000 methods it stays the same for as long as the client lives.
func (c *Client) Breaker(method string) *reliability.Breaker {
	return (*reliability.Breaker)(c.policies.Method(method).Breaker)
}

// Close fails every call in flight, once, as canceled/client_closed, deletes
// the reply queue and closes the connections. It takes at most a few seconds,
// whatever the broker does; closing twice is fine.
func (c *Client) Close() error {
	c.closeOnce.Do(func() {
		close(c.closing)
		for _, call := range c.pending.close() {
			call.on(time.Now(), callstate.Event{Kind: callstate.Stopped, Err: errClosed()})
		}
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		c.replies.close(ctx)
		var wg sync.WaitGroup
		for _, stop := range []func(context.Context) error{c.publishing.Stop, c.consuming.Stop, c.background.Stop} {
			wg.Go(func() {
				if err := stop(ctx); err != nil {
					c.cfg.Logger.Warn("closing the client took too long", "error", err)
				}
			})
		}
		wg.Wait()
		c.publisher.Close()
	})
	return nil
}

func (c *Client) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// closePatience bounds Close.
const closePatience = 5 * time.Second

func errClosed() *warren.Error {
	return &warren.Error{
		Code: warren.CodeCanceled, Reason: warren.ReasonClientClosed, Outcome: warren.NotExecuted,
		Message: "the client is closed",
	}
}

// writtenHook is only there when a crash point asks for it.
func (c *Client) writtenHook() func(*broker.Publishing) {
	if !crashpoint.Enabled() {
		return nil
	}
	return func(p *broker.Publishing) { crashpoint.Reached(crashpoint.Published, p.Key, p.Msg.CorrelationId) }
}
