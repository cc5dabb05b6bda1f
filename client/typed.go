package client

import (
	"context"

	"github.com/warren-rpc/warren"
)

// Call calls method with req, encoded by the client's codec, and decodes the
// reply into a Rep. A req of type []byte, and a Rep of type []byte, pass
// through as they are.
//
// The error is always an [*warren.Error]; see [Client.Call] for its outcome and
// for what may happen twice. A reply that cannot be decoded is
// internal/bad_reply with the outcome Executed.
func Call[Rep any](ctx context.Context, c *Client, method string, req any, opts ...CallOption) (Rep, error) {
	var rep Rep
	cl := c.newCall(method, nil, opts)
	if raw, ok := req.([]byte); ok {
		cl.req.Body = raw
	} else {
		body, err := c.cfg.Codec.Marshal(req)
		if err != nil {
			return rep, complete(&cl.req.Request, &warren.Error{
				Code: warren.CodeInvalidArgument, Reason: warren.ReasonMalformedBody, Outcome: warren.NotExecuted,
				Message: "the request cannot be encoded: " + err.Error(), Cause: err,
			})
		}
		cl.req.Body = body
		if cl.req.ContentType == "" {
			cl.req.ContentType = c.cfg.Codec.ContentType()
		}
	}
	reply, err := c.do(ctx, cl)
	if err != nil {
		return rep, err
	}
	if out, ok := any(&rep).(*[]byte); ok {
		*out = reply.Body
		return rep, nil
	}
	if err := c.cfg.Codec.Unmarshal(reply.Body, &rep); err != nil {
		return rep, complete(&cl.req.Request, &warren.Error{
			Code: warren.CodeInternal, Reason: warren.ReasonBadReply, Outcome: warren.Executed,
			Message: "the reply cannot be decoded: " + err.Error(), Attempts: reply.Attempts, Cause: err,
		})
	}
	return rep, nil
}
