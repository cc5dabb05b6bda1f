package client

import "github.com/warren-rpc/warren/internal/policy"

// Method is what the client knows of a method.
func (c *Client) Method(name string) *policy.Method { return c.policies.Method(name) }
