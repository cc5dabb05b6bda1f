package workload

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// Clients make calls until they are stopped: each worker one after the other.
type Clients struct {
	cfg    ClientsConfig
	record *history.Recorder

	Calls, Succeeded, Failed atomic.Int64 // so far

	stop    chan struct{}
	workers sync.WaitGroup
	written atomic.Int64 // makes values of registers differ
	nobody  atomic.Int64 // calls that nobody serves

	mu      sync.Mutex
	unknown []unresolvedCall
	recent  *history.Call // one that a stranger may make, too
}

// unresolvedCall is a call whose outcome is unknown.
type unresolvedCall struct {
	callID string
	issued time.Time
	proof  warren.Proof
}

// ClientsConfig says who calls.
type ClientsConfig struct {
	Log     *history.Log
	Clients []*client.Client
	Mode    server.Mode
	Timeout time.Duration // of each call
	Start   time.Time     // of the run
	Seed    uint64
	// Method is what is called. Default: this package's.
	Method string
	// Request makes the body of a call of that method, which is sent as JSON. Nil: the
	// operations of this package.
	Request func(rng *rand.Rand) any
}

// own reports whether the operations are this package's.
func (c *Clients) own() bool { return c.cfg.Request == nil }

// NewClients returns clients that call once Start is called.
func NewClients(cfg ClientsConfig) *Clients {
	read := Read
	if cfg.Request != nil {
		read = nil // nobody knows what its answers mean
	}
	cfg.Method = cmp.Or(cfg.Method, Method)
	return &Clients{cfg: cfg, record: history.NewRecorder(cfg.Log, read), stop: make(chan struct{})}
}

// Start has that many workers call.
func (c *Clients) Start(ctx context.Context, workers int) {
	for n := range workers {
		c.workers.Go(func() { c.work(ctx, n) })
	}
}

// Stop returns once every call has ended.
func (c *Clients) Stop() {
	close(c.stop)
	c.workers.Wait()
}

// Accounts are those of the bank.
func Accounts() []string {
	names := make([]string, 20)
	for i := range names {
		names[i] = fmt.Sprintf("account-%02d", i)
	}
	return names
}

// work makes calls one after the other.
func (c *Clients) work(ctx context.Context, number int) {
	rng := rand.New(rand.NewPCG(c.cfg.Seed, uint64(number)))
	name := fmt.Sprintf("worker-%d", number)
	through := c.cfg.Clients[number%len(c.cfg.Clients)]
	seen := map[string]string{} // what this worker last found in registers
	var options []client.CallOption
	if number%4 == 3 {
		options = append(options, client.WithAttempts(1)) // what is lost stays lost
	}
	for {
		select {
		case <-c.stop:
			return
		case <-ctx.Done():
			return
		default:
		}
		op, body := c.draw(rng, seen)
		call := history.Call{Client: name, Method: c.cfg.Method, Mode: c.cfg.Mode.String(), Op: op, Timeout: c.cfg.Timeout}
		reply, err := c.call(ctx, through, call, body, options...)
		switch {
		case err == nil:
			if op.Name != history.OpTransfer && op.Key != "" {
				answer := Read(reply)
				seen[op.Key] = answer.Value
				if !op.ReadOnly && !answer.NoEffect {
					seen[op.Key] = op.New
				}
			}
			call.CallID = reply.CallID
			if rng.IntN(20) == 0 {
				_, _ = c.call(ctx, through, call, body) // recorded; it must be replayed
			}
			if op.Name == OpAppend {
				c.mu.Lock()
				c.recent = &call
				c.mu.Unlock()
			}
		case rng.IntN(3) == 0:
			c.resolve(ctx, through, c.take(err))
		default:
			// Some fail at once, as by an open breaker: nobody calls a thousand times then.
			sleep(ctx, time.Duration(rng.Int64N(int64(2*afterFailure))))
		}
	}
}

// afterFailure is how long a worker waits after a call that failed.
const afterFailure = 20 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// call makes a call and notes it if it may or may not have been executed.
func (c *Clients) call(
	ctx context.Context, through *client.Client, call history.Call, body any, options ...client.CallOption,
) (*warren.Reply, error) {
	return c.make(ctx, call, func(ctx context.Context, callID string) (*warren.Reply, error) {
		return c.send(ctx, through, callID, body, options...)
	})
}

const contentType = "application/json"

// send is the call itself.
func (c *Clients) send(
	ctx context.Context, through *client.Client, callID string, body any, options ...client.CallOption,
) (*warren.Reply, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	options = append(options, client.WithCallID(callID), client.WithContentType(contentType),
		client.Idempotent(), client.WaitForServer())
	return through.Call(ctx, c.cfg.Method, text, options...)
}

func (c *Clients) make(
	ctx context.Context, call history.Call, do func(ctx context.Context, callID string) (*warren.Reply, error),
) (*warren.Reply, error) {
	c.Calls.Add(1)
	reply, err := c.record.Do(ctx, call, do)
	if err == nil {
		c.Succeeded.Add(1)
		return reply, nil
	}
	c.Failed.Add(1)
	if e, ok := warren.AsError(err); ok && e.Outcome == warren.Unknown {
		c.mu.Lock()
		c.unknown = append(c.unknown, unresolvedCall{e.CallID, e.Issued, e.Proof})
		c.mu.Unlock()
	}
	return nil, err
}

// take takes the call that ended in err out of those to be resolved at the end.
func (c *Clients) take(err error) *unresolvedCall {
	e, ok := warren.AsError(err)
	if !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, d := range c.unknown {
		if d.callID == e.CallID {
			c.unknown = append(c.unknown[:i], c.unknown[i+1:]...)
			return &d
		}
	}
	return nil
}

// resolve asks what became of a call. One that is still in doubt is asked about at
// the end.
func (c *Clients) resolve(ctx context.Context, through *client.Client, d *unresolvedCall) {
	if d == nil {
		return
	}
	r, err := c.record.Resolve(ctx, c.cfg.Method, d.callID, func(ctx context.Context) (*client.Resolution, error) {
		return through.Resolve(ctx, c.cfg.Method, d.callID, client.IssuedAt(d.issued), client.Proven(d.proof), client.ResolveTimeout(c.cfg.Timeout))
	})
	if err != nil || r.State == client.InProgress {
		c.mu.Lock()
		c.unknown = append(c.unknown, *d)
		c.mu.Unlock()
	}
}

// ResolveAll asks about every call whose outcome is unknown, when all is well
// again, and returns those that were left in doubt.
func (c *Clients) ResolveAll(ctx context.Context) (left []string) {
	for range 5 {
		c.mu.Lock()
		unresolved := c.unknown
		c.unknown = nil
		c.mu.Unlock()
		if len(unresolved) == 0 {
			return nil
		}
		var asking sync.WaitGroup
		limit := make(chan struct{}, 16)
		for i, d := range unresolved {
			asking.Go(func() {
				limit <- struct{}{}
				defer func() { <-limit }()
				c.resolve(ctx, c.cfg.Clients[i%len(c.cfg.Clients)], &d)
			})
		}
		asking.Wait()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.unknown {
		left = append(left, d.callID)
	}
	return left
}

// registerSpan is how long a register is in use: short histories are decided soon.
const registerSpan = 2 * time.Second

// draw makes up an operation, and its body.
func (c *Clients) draw(rng *rand.Rand, seen map[string]string) (history.Op, any) {
	if !c.own() {
		return history.Op{Name: c.cfg.Method}, c.cfg.Request(rng)
	}
	op := c.operation(rng, seen)
	return op, op
}

func (c *Clients) operation(rng *rand.Rand, seen map[string]string) history.Op {
	if c.cfg.Mode != server.Transactional {
		return history.Op{Name: OpAppend}
	}
	key := fmt.Sprintf("register-%d-%d", time.Since(c.cfg.Start)/registerSpan, rng.IntN(4))
	next := fmt.Sprintf("%s/%d", c.cfg.Log.Process(), c.written.Add(1))
	switch n := rng.IntN(20); {
	case n < 8:
		return history.Op{Name: OpAppend}
	case n < 14:
		accounts := Accounts()
		from := rng.IntN(len(accounts))
		to := (from + 1 + rng.IntN(len(accounts)-1)) % len(accounts)
		return history.Op{Name: history.OpTransfer, Key: accounts[from], To: accounts[to], Amount: 1 + rng.Int64N(50)}
	case n < 16:
		return history.Op{Name: history.OpRead, Key: key, ReadOnly: true}
	case n < 17:
		return history.Op{Name: history.OpWrite, Key: key, New: next}
	default:
		return history.Op{Name: history.OpCAS, Key: key, Old: seen[key], New: next}
	}
}

// Adopt has those calls of processes that have died, which have no end, asked
// about by ResolveAll. A request that the user draws is not in the history, and cannot
// be proven.
func (c *Clients) Adopt(events history.Events) error {
	open := map[string]unresolvedCall{}
	for e, err := range events {
		switch {
		case err != nil:
			return err
		case !history.IsProcess(e.Process, Caller) || !c.own():
		case e.Kind == history.KindCall:
			body, err := json.Marshal(e.Op)
			if err != nil {
				return err
			}
			open[e.CallID] = unresolvedCall{e.CallID, e.Wall, warren.ProofOf(contentType, "", body)}
		case e.Kind == history.KindEnd:
			delete(open, e.CallID)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range open {
		c.unknown = append(c.unknown, d)
	}
	return nil
}
