package chaos

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/chaos/workload"
	"github.com/warren-rpc/warren/test/rabbit"
)

// follow starts a process again whenever it has died, and records its deaths.
func (r *run) follow(ctx context.Context, p *proc.Process, f history.Fault) {
	for {
		exit, err := p.Wait(ctx)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.kills[exit.Crash.Point]++
		r.faults++
		r.mu.Unlock()
		if f.Detail = exit.Crash.Point; f.Detail == "" {
			f.Detail = fmt.Sprintf("%s, code %d", exit.Signal, exit.Code)
		}
		if f.Class = ""; exit.Signal == syscall.SIGKILL.String() {
			f.Class = history.Kills
		}
		ended, err := r.log.Begin(f)
		if err == nil {
			err = restart(ctx, p)
		}
		if err == nil {
			err = ended()
		}
		if err != nil {
			if ctx.Err() == nil {
				r.fail(fmt.Errorf("chaos: the process of %s is not to be started: %w", f.Target, err))
			}
			return
		}
	}
}

// restart starts a process again, which ends at once while another fault keeps it from its
// store.
func restart(ctx context.Context, p *proc.Process) error {
	for over := time.Now().Add(restartWithin); ; {
		if err := p.Restart(ctx); err == nil || ctx.Err() != nil || time.Now().After(over) {
			return err
		}
	}
}

// tell tells of the progress until the function that it returns is called.
func (r *run) tell() (stop func()) {
	if r.cfg.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.cfg.Progress(r.progress())
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (r *run) progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{Elapsed: time.Since(r.began), Faults: r.faults, Phase: r.phase}
	if c := r.clients; c != nil {
		p.Calls, p.Succeeded, p.Failed = c.Calls.Load(), c.Succeeded.Load(), c.Failed.Load()
	}
	return p
}

// quiet records what is left in the queues when all is over.
func (r *run) quiet(ctx context.Context) error {
	conn, err := amqp.Dial(r.nodes[0].URL())
	if err != nil {
		return fmt.Errorf("chaos: look at the queues: %w", err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("chaos: look at the queues: %w", err)
	}
	for {
		d, ok, err := ch.Get(r.method()+".dead", true)
		if err != nil {
			return fmt.Errorf("chaos: read the dead ones: %w", err)
		}
		if !ok {
			break
		}
		note := history.Event{Kind: history.KindNote, Note: history.NoteParked, Method: r.method(), CallID: d.CorrelationId}
		if err := r.log.Append(note); err != nil {
			return err
		}
	}
	if err := r.log.Append(history.Event{Kind: history.KindNote, Note: history.NoteDeadQueueRead, Method: r.method()}); err != nil {
		return err
	}
	queues := []string{r.method()}
	if r.memory.wanted {
		queues = append(queues, workload.Memory)
	}
	for _, queue := range queues {
		if err := r.drained(ctx, queue); err != nil {
			return err
		}
	}
	return nil
}

// drained waits until a queue is empty, but not for ever, and records how many are left
// in it.
func (r *run) drained(ctx context.Context, queue string) error {
	var depth int
	var err error
	for wait := time.Now().Add(drain); ; {
		if depth, err = r.depth(ctx, queue); err != nil {
			return err
		}
		if depth == 0 || time.Now().After(wait) {
			break
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return r.log.Append(history.Event{
		Kind: history.KindSample, Phase: history.PhaseEnd, Sample: &history.Sample{Queue: queue, Depth: depth},
	})
}

// drain is how long the last requests may take to leave the queue: they expire.
const drain = 15 * time.Second

// depth is how many messages are in a queue, those with its server among them.
func (r *run) depth(ctx context.Context, queue string) (int, error) {
	queues, err := r.nodes[0].Queues(ctx, "/")
	if err != nil {
		return 0, fmt.Errorf("chaos: look at the queues: %w", err)
	}
	for _, q := range queues {
		if q.Name == queue {
			return q.Ready + q.Unacked, nil
		}
	}
	return 0, fmt.Errorf("chaos: there is no queue %s", queue)
}

// consumed reports whether somebody consumes the method's queue.
func (r *run) consumed(ctx context.Context) bool {
	queues, err := r.nodes[0].Queues(ctx, "/")
	return err == nil && slices.ContainsFunc(queues, func(q rabbit.Queue) bool { return q.Name == r.method() && q.Consumers > 0 })
}

// readBook records the effects that are in the store, and the balances.
func (r *run) readBook(ctx context.Context) error {
	if r.cfg.Mode != server.Transactional {
		return nil // the servers have written theirs themselves
	}
	balances, err := r.cfg.Backend.Book(ctx, r.readable(mainStore), r.accounts(), r.log.Append)
	if err != nil {
		return err
	}
	for _, account := range r.accounts() {
		if err := r.log.Append(state(account, balances[account], history.PhaseEnd)); err != nil {
			return err
		}
	}
	return r.readMemories(ctx)
}

func state(account string, balance int64, phase history.Phase) history.Event {
	return history.Event{Kind: history.KindState, Key: account, Value: strconv.FormatInt(balance, 10), Phase: phase}
}

// sampleSelf records what this process uses.
func (r *run) sampleSelf(phase history.Phase) error {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return r.log.Append(history.Event{Kind: history.KindSample, Phase: phase, Sample: &history.Sample{
		Of: r.log.Process(), Goroutines: runtime.NumGoroutine(), Descriptors: len(descriptors), Heap: int64(memory.HeapAlloc),
	}})
}
