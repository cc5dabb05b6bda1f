package client

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// pending is the table of calls in flight, bounded by their number and by the
// bytes of their bodies.
type pending struct {
	mu              sync.Mutex
	calls           map[pendingKey]*call
	bytes           int
	most, mostBytes int
	closed          bool
}

// pendingKey is a call's ID, or a notification: these do not join.
type pendingKey struct {
	callID       string
	notification *call
}

func newPending(most, mostBytes int) *pending {
	return &pending{calls: map[pendingKey]*call{}, most: most, mostBytes: mostBytes}
}

func (cl *call) key() pendingKey {
	if cl.settings.oneWay {
		return pendingKey{notification: cl}
	}
	return pendingKey{callID: cl.req.CallID}
}

// add enters cl and returns it, or the call of the same ID that is in flight, joined.
func (p *pending) add(cl *call) (*call, *warren.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed()
	}
	key := cl.key()
	if first, ok := p.calls[key]; ok {
		return joinCall(first, cl)
	}
	if len(p.calls) >= p.most || p.bytes+len(cl.req.Body) > p.mostBytes {
		return nil, &warren.Error{
			Code: warren.CodeResourceExhausted, Reason: warren.ReasonQueueFull, Outcome: warren.NotExecuted,
			Message: "too many calls, or bytes, are in flight in this client",
		}
	}
	p.bytes += len(cl.req.Body)
	p.calls[key] = cl
	return cl, nil
}

// joinCall has the second wait for the end of the first, if it is the same.
func joinCall(first, second *call) (*call, *warren.Error) {
	if !sameRequest(&first.req.Request, &second.req.Request) {
		return nil, &warren.Error{
			Code: warren.CodeAlreadyExists, Reason: warren.ReasonKeyReused, Outcome: warren.NotExecuted,
			Message: "a call with this ID and another request is in flight",
		}
	}
	if first.join() {
		return first, nil
	}
	// Its last caller is leaving it at this moment.
	return nil, &warren.Error{
		Code: warren.CodeAborted, Outcome: warren.Unknown,
		Message: "the call with this ID is being given up; call again",
	}
}

// sameRequest compares what servers compare of requests that bear one call ID, by
// [wire.Fingerprint]: a trace context of its own makes no other request. Bodies are
// not hashed, since this is done under the lock of all calls.
func sameRequest(a, b *warren.Request) bool {
	if a.Method != b.Method || !bytes.Equal(a.Body, b.Body) {
		return false
	}
	first, second := *a, *b
	first.Body, second.Body = nil, nil
	return wire.Fingerprint(&first, nil) == wire.Fingerprint(&second, nil)
}

// get returns the call that a reply is for, nil if none waits for it.
func (p *pending) get(callID string) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[pendingKey{callID: callID}]
}

// remove takes a call that has ended out of the table. It is called once for each.
func (p *pending) remove(cl *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, cl.key())
	p.bytes -= len(cl.req.Body)
}

// all returns the calls and notifications in flight.
func (p *pending) all() []*call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.calls))
}

// close refuses further calls and returns those in flight.
func (p *pending) close() []*call {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	return p.all()
}

func (p *pending) size() (calls, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls), p.bytes
}
