package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
)

// observedCall is one call and all that its caller has learned of it.
type observedCall struct {
	id         string
	body       []byte
	forbidden  bool
	reply      *warren.Reply
	err        *warren.Error
	resolution *client.Resolution // of a call whose outcome is unknown
}

// history makes transfers and remembers what became of them.
type history struct {
	t    *testing.T
	c    *client.Client
	mode server.Mode

	mu    sync.Mutex
	calls []*observedCall
}

// work makes calls, one after the other, until done is closed. One in four has
// less time than a restart takes.
func (h *history) work(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		tr := transfer{rand.IntN(accounts), rand.IntN(accounts), 1 + rand.IntN(100)}
		body, err := json.Marshal(tr)
		if err != nil {
			h.t.Error(err)
			return
		}
		timeout := 6 * time.Second
		if rand.IntN(4) == 0 {
			timeout = time.Duration(20+rand.IntN(300)) * time.Millisecond
		}
		h.mu.Lock()
		call := &observedCall{id: fmt.Sprintf("transfer-%d", len(h.calls)), body: body, forbidden: tr.forbidden()}
		h.calls = append(h.calls, call)
		h.mu.Unlock()
		reply, err := h.send(call, client.WithTimeout(timeout))
		call.reply = reply
		if err != nil {
			call.err, _ = warren.AsError(err)
		}
		// Some are resolved at once, while servers die, others when all is over.
		if call.unknown() && rand.IntN(2) == 0 {
			_ = h.resolve(call)
		}
	}
}

func (h *history) send(call *observedCall, opts ...client.CallOption) (*warren.Reply, error) {
	opts = append(opts, client.WithCallID(call.id), client.WithContentType("application/json"), client.Idempotent())
	return h.c.Call(context.Background(), "transfer", call.body, opts...)
}

func (call *observedCall) unknown() bool {
	return call.err != nil && call.err.Outcome == warren.Unknown
}

// resolve asks what became of the call. It is settled if that is nil.
func (h *history) resolve(call *observedCall) error {
	r, err := h.c.Resolve(context.Background(), "transfer", call.id, client.About(call.err))
	if err != nil {
		return err
	}
	if r.State == client.InProgress {
		return fmt.Errorf("%s is in progress", call.id)
	}
	call.resolution = r
	return nil
}

// settle resolves what is not resolved yet, and then makes the canceled calls and
// some of the others again, under the same IDs.
func (h *history) settle() {
	h.t.Helper()
	var left atomic.Int64
	left.Store(200)
	line := make(chan *observedCall)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for call := range line {
				h.settleOne(call, &left)
			}
		})
	}
	for _, call := range h.calls {
		line <- call
	}
	close(line)
	workers.Wait()
}

func (h *history) settleOne(call *observedCall, left *atomic.Int64) {
	var err error
	for began := time.Now(); call.unknown() && call.resolution == nil; {
		if err = h.resolve(call); err != nil && time.Since(began) > patience.Soon {
			h.t.Errorf("%s cannot be resolved: %v", call.id, err)
			return
		}
	}
	switch {
	case call.resolution != nil:
		h.again(call)
	case call.err != nil && call.err.Outcome == warren.NotExecuted:
	case left.Add(-1) >= 0:
		h.again(call)
	}
}

// again makes a call once more that has ended, or has been resolved. What it is
// told must not differ from what was told before.
func (h *history) again(call *observedCall) {
	h.t.Helper()
	reply, err := h.send(call, client.WithTimeout(patience.Soon))
	told, _ := warren.AsError(err)
	before, beforeErr := call.reply, call.err
	if r := call.resolution; r != nil {
		before, beforeErr = r.Reply, r.Err
		if r.State == client.Canceled {
			if told == nil || told.Code != warren.CodeCanceled && told.Reason != warren.ReasonInterrupted {
				h.t.Errorf("%s was canceled and is then answered %v, %v", call.id, reply, err)
				return
			}
			call.err = h.joined(call, told)
			return
		}
	}
	switch {
	case before != nil:
		if told != nil || !reply.Replayed || !bytes.Equal(reply.Body, before.Body) || reply.ContentType != before.ContentType {
			h.t.Errorf("%s: answered %+v before, and %+v, %v again", call.id, before, reply, err)
		}
	case beforeErr != nil:
		if told == nil || !told.Replayed || told.Code != beforeErr.Code || told.Reason != beforeErr.Reason ||
			told.Message != beforeErr.Message || told.Incident != beforeErr.Incident || told.Outcome != beforeErr.Outcome {
			h.t.Errorf("%s: failed with %+v before, and %v, %+v again", call.id, beforeErr, reply, told)
		}
	}
}

// joined keeps the claim that goes furthest: that a call has not been executed.
func (h *history) joined(call *observedCall, told *warren.Error) *warren.Error {
	if told.Outcome == warren.NotExecuted {
		return told
	}
	return call.err
}

// bounds are how often a call may have had its effect.
type bounds struct{ least, most int }

const (
	anyNumber = 1 << 30
	succeeded = "succeeded"
)

// judge compares what was told with how often each call has had its effect.
func (h *history) judge(effects map[string]int) {
	h.t.Helper()
	told := map[string]int{}
	resolved, replayed := 0, 0
	for _, call := range h.calls {
		if call.resolution != nil {
			resolved++
		}
		if call.reply != nil && call.reply.Replayed {
			replayed++
		}
		b, why := h.allowed(call)
		told[why]++
		if n := effects[call.id]; n < b.least || n > b.most {
			h.t.Errorf("%s: %s, and has %d effects; error %v, resolution %+v", call.id, why, n, call.err, call.resolution)
		}
		delete(effects, call.id)
	}
	for id, n := range effects {
		h.t.Errorf("nobody has made %s, which has %d effects", id, n)
	}
	var lines []string
	for why, n := range told {
		lines = append(lines, fmt.Sprintf("%d %s", n, why))
	}
	slices.Sort(lines)
	h.t.Logf("%d calls, %d of them replayed, %d resolved: %q", len(h.calls), replayed, resolved, lines)
	if told[succeeded] == 0 || resolved == 0 || replayed == 0 {
		h.t.Error("the crashes have troubled nobody")
	}
}

// allowed says how often the call may have had its effect, and why.
func (h *history) allowed(call *observedCall) (bounds, string) {
	most := 1 // of any call
	if h.mode == server.AtLeastOnce {
		most = anyNumber
	}
	switch r := call.resolution; {
	case call.err == nil:
		return bounds{1, most}, succeeded
	case call.forbidden:
		return bounds{0, 0}, "forbidden"
	case call.err.Outcome == warren.NotExecuted:
		return bounds{0, 0}, "not executed: " + call.err.Code.String() + "/" + call.err.Reason
	case call.err.Outcome == warren.Executed:
		h.t.Errorf("%s failed with %v, which no handler has said", call.id, call.err)
		return bounds{0, most}, "failed"
	case r == nil:
		h.t.Errorf("%s was not resolved: %v", call.id, call.err)
		return bounds{0, most}, "unresolved"
	case r.State == client.Completed:
		return bounds{1, most}, "resolved as completed"
	case r.Outcome == warren.NotExecuted:
		return bounds{0, 0}, "resolved as not executed: " + string(r.State)
	case h.mode == server.Transactional:
		// What it did was rolled back, whether or not the server could say so.
		return bounds{0, 0}, "resolved as " + string(r.State)
	default:
		return bounds{0, most}, "resolved as " + string(r.State) + ", unknown"
	}
}
