package workload

import (
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
	log     *history.Log
	record  *history.Recorder
	clients []*client.Client
	mode    server.Mode
	timeout time.Duration
	seed    uint64
	began   time.Time

	Calls, Succeeded, Failed atomic.Int64 // so far

	stop    chan struct{}
	workers sync.WaitGroup
	written atomic.Int64 // makes values of registers differ

	mu      sync.Mutex
	unknown []doubt
}

// doubt is a call whose outcome is unknown.
type doubt struct {
	callID string
	issued time.Time
}

// ClientsConfig says who calls.
type ClientsConfig struct {
	Log     *history.Log
	Clients []*client.Client
	Mode    server.Mode
	Timeout time.Duration // of each call
	Seed    uint64
}

// NewClients returns clients that call once Start is called.
func NewClients(cfg ClientsConfig) *Clients {
	return &Clients{
		log: cfg.Log, record: history.NewRecorder(cfg.Log, Read), clients: cfg.Clients, mode: cfg.Mode,
		timeout: cfg.Timeout, seed: cfg.Seed, began: time.Now(), stop: make(chan struct{}),
	}
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
	rng := rand.New(rand.NewPCG(c.seed, uint64(number)))
	name := fmt.Sprintf("worker-%d", number)
	through := c.clients[number%len(c.clients)]
	seen := map[string]string{} // what this worker last found in registers
	for {
		select {
		case <-c.stop:
			return
		case <-ctx.Done():
			return
		default:
		}
		op := c.draw(rng, seen)
		call := history.Call{Client: name, Method: Method, Mode: c.mode.String(), Op: op, Timeout: c.timeout}
		reply, err := c.call(ctx, through, call)
		switch {
		case err == nil:
			if op.Name != history.OpTransfer && op.Key != "" {
				answer := Read(reply)
				seen[op.Key] = answer.Value
				if !op.ReadOnly && !answer.NoEffect {
					seen[op.Key] = op.New
				}
			}
			if rng.IntN(20) == 0 {
				call.CallID = reply.CallID
				_, _ = c.call(ctx, through, call) // recorded; it must be replayed
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
func (c *Clients) call(ctx context.Context, through *client.Client, call history.Call) (*warren.Reply, error) {
	body, err := json.Marshal(call.Op)
	if err != nil {
		return nil, err
	}
	c.Calls.Add(1)
	reply, err := c.record.Do(ctx, call, func(ctx context.Context, callID string) (*warren.Reply, error) {
		return through.Call(ctx, Method, body, client.WithCallID(callID), client.WithContentType("application/json"),
			client.Idempotent(), client.WaitForServer())
	})
	if err == nil {
		c.Succeeded.Add(1)
		return reply, nil
	}
	c.Failed.Add(1)
	if e, ok := warren.AsError(err); ok && e.Outcome == warren.Unknown {
		c.mu.Lock()
		c.unknown = append(c.unknown, doubt{e.CallID, e.Issued})
		c.mu.Unlock()
	}
	return nil, err
}

// take takes the call that ended in err out of those to be resolved at the end.
func (c *Clients) take(err error) *doubt {
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
func (c *Clients) resolve(ctx context.Context, through *client.Client, d *doubt) {
	if d == nil {
		return
	}
	r, err := c.record.Resolve(ctx, Method, d.callID, func(ctx context.Context) (*client.Resolution, error) {
		return through.Resolve(ctx, Method, d.callID, client.IssuedAt(d.issued), client.ResolveTimeout(c.timeout))
	})
	if err != nil || r.State == client.InProgress {
		c.mu.Lock()
		c.unknown = append(c.unknown, *d)
		c.mu.Unlock()
	}
}

// ResolveAll asks about every call whose outcome is unknown, when all is well
// again, and returns how many were left in doubt.
func (c *Clients) ResolveAll(ctx context.Context) int {
	for range 5 {
		c.mu.Lock()
		left := c.unknown
		c.unknown = nil
		c.mu.Unlock()
		if len(left) == 0 {
			return 0
		}
		var asking sync.WaitGroup
		limit := make(chan struct{}, 16)
		for i, d := range left {
			asking.Go(func() {
				limit <- struct{}{}
				defer func() { <-limit }()
				c.resolve(ctx, c.clients[i%len(c.clients)], &d)
			})
		}
		asking.Wait()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.unknown)
}

// registerSpan is how long a register is in use: short histories are decided soon.
const registerSpan = 2 * time.Second

// draw makes up an operation.
func (c *Clients) draw(rng *rand.Rand, seen map[string]string) history.Op {
	if c.mode != server.Transactional {
		return history.Op{Name: OpAppend}
	}
	key := fmt.Sprintf("register-%d-%d", time.Since(c.began)/registerSpan, rng.IntN(4))
	next := fmt.Sprintf("v%d", c.written.Add(1))
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

// Poison makes a call that kills every server which begins it, and returns when it
// has ended.
func (c *Clients) Poison(ctx context.Context, number int, timeout time.Duration) {
	_, _ = c.call(ctx, c.clients[0], history.Call{
		Client: fmt.Sprintf("poisoner-%d", number), Method: Method, Mode: c.mode.String(), Op: history.Op{Name: OpPoison},
		Timeout: timeout, Poison: true,
	})
}
