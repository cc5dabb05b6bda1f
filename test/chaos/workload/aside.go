package workload

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// Calls that faults make.

// Poison makes a call that kills every server which begins it, and returns when it
// has ended.
func (c *Clients) Poison(ctx context.Context, number int, timeout time.Duration) {
	op := history.Op{Name: OpPoison}
	call := c.aside("poisoner", op, timeout)
	call.Poison = true
	_, _ = c.call(ctx, c.cfg.Clients[number%len(c.cfg.Clients)], call, op)
}

// aside describes a call that a fault makes.
func (c *Clients) aside(who string, op history.Op, timeout time.Duration) history.Call {
	return history.Call{
		Client: who + "-" + uuid.NewString(), Method: c.cfg.Method, Mode: c.cfg.Mode.String(), Op: op, Timeout: timeout,
	}
}

// Nobody makes a call of a method that nobody serves: one that looks before, or
// one that has only the broker's word.
func (c *Clients) Nobody(ctx context.Context, timeout time.Duration) {
	looks := client.WaitForServer()
	if c.nobody.Add(1)%2 == 0 {
		looks = client.FailWithoutServer()
	}
	call := c.aside("prober", history.Op{Name: OpNobody}, timeout)
	call.Method, call.Unserved = Unserved, true
	_, _ = c.record.Do(ctx, call, func(ctx context.Context, callID string) (*warren.Reply, error) {
		return c.cfg.Clients[0].Call(ctx, Unserved, nil, client.WithCallID(callID), looks)
	})
}

// strange names a stranger's call in the history.
func strange(callID string) string { return Stranger + ":" + callID }

// Strange has a stranger, another user of the broker, make a call that another
// client has made, with its ID and all. It is another call.
func (c *Clients) Strange(ctx context.Context, stranger *client.Client) {
	c.mu.Lock()
	call := c.recent
	c.mu.Unlock()
	if call == nil {
		return
	}
	mine := *call
	mine.Client, mine.CallID = Stranger, strange(call.CallID)
	_, _ = c.record.Do(ctx, mine, func(ctx context.Context, _ string) (*warren.Reply, error) {
		return c.send(ctx, stranger, call.CallID, call.Op)
	})
}

// Refusal is a reason for which a broker refuses a request.
type Refusal int

// The refusals. The first two are those of a run's broker.
const (
	OversizedBody Refusal = iota
	OversizedHeaders
	ForeignUser
	Refusals
)

// neighbours is how many calls are in flight beside one that the broker refuses.
const neighbours = 8

// Refused makes a call of so many bytes too much, or of a client that says to be
// another, which the broker refuses, and others beside it that it takes.
func (c *Clients) Refused(ctx context.Context, why Refusal, through *client.Client, size int) {
	good := history.Op{Name: OpAppend}
	var beside sync.WaitGroup
	for range neighbours {
		if why != ForeignUser {
			beside.Go(func() { _, _ = c.call(ctx, through, c.aside("neighbour", good, c.cfg.Timeout), good) })
		}
	}
	op := good
	call := c.aside("refused", op, c.cfg.Timeout)
	call.Refused = true
	var options []client.CallOption
	switch why {
	case OversizedBody:
		op.New = strings.Repeat("x", size)
	case OversizedHeaders:
		// Within the bounds of the framework as it counts, and not of a frame.
		for n := range 60 {
			options = append(options, client.WithHeader(fmt.Sprintf("h%02d", n), strings.Repeat("x", size/60)))
		}
	default:
	}
	_, _ = c.make(ctx, call, func(ctx context.Context, callID string) (*warren.Reply, error) {
		return c.send(ctx, through, callID, op, options...)
	})
	beside.Wait()
}

// Remember makes a call of Memory. An error of the run's own is not told.
func (c *Clients) Remember(ctx context.Context, through *client.Client, callID string, timeout time.Duration) error {
	op := history.Op{Name: OpAppend}
	call := c.aside("rememberer", op, timeout)
	call.Method, call.CallID = Memory, callID
	_, err := c.record.Do(ctx, call, func(ctx context.Context, callID string) (*warren.Reply, error) {
		return through.Call(ctx, Memory, []byte(MemoryBody), client.WithCallID(callID), client.WithContentType(contentType),
			client.Idempotent(), client.WaitForServer())
	})
	return err
}

// MemoryBody is the request of each call of Memory.
const MemoryBody = `{"name":"append"}`

// Recall asks what became of a call of Memory, issued by the client's clock as it is
// now.
func (c *Clients) Recall(ctx context.Context, through *client.Client, callID string, issued time.Time) {
	_, _ = c.record.Resolve(ctx, Memory, callID, func(ctx context.Context) (*client.Resolution, error) {
		return through.Resolve(ctx, Memory, callID, client.IssuedAt(issued),
			client.Proven(warren.ProofOf(contentType, "", []byte(MemoryBody))), client.ResolveTimeout(c.cfg.Timeout))
	})
}
