package client

import (
	"context"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
)

// Ping returns how many consumers the method's queue has. It fails as
// unavailable/no_route if there is no such queue. A server may consume with
// several consumers, and one that was cut off is counted until the broker
// notices.
func (c *Client) Ping(ctx context.Context, method string) (servers int, err error) {
	req := &warren.Request{Method: method}
	if err := warren.CheckMethod(method); err != nil {
		return 0, complete(req, &warren.Error{
			Code: warren.CodeInvalidArgument, Reason: warren.ReasonBadRequest, Outcome: warren.NotExecuted,
			Message: trim(err), Cause: err,
		})
	}
	if unreachable := c.unreachable(); unreachable != nil {
		return 0, complete(req, unreachable)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout(method))
	defer cancel()
	go func() {
		select {
		case <-c.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	n, err := c.prober.Consumers(ctx, method)
	switch {
	case err == nil:
		return n, nil
	case broker.IsNotFound(err):
		return 0, complete(req, errNoRoute())
	case c.isClosing():
		return 0, complete(req, errClosed())
	case ctx.Err() != nil:
		return 0, complete(req, ended(ctx))
	default:
		return 0, complete(req, &warren.Error{
			Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, Message: trim(err), Cause: err,
		})
	}
}
