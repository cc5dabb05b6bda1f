package proc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/chaos/internal/guard"
)

var (
	// ErrEnded is the answer (wrapped) of what needs a process that runs.
	ErrEnded = errors.New("proc: the process has ended")
	// ErrNotControlled is the answer (wrapped) of what needs a process that has
	// called Child.
	ErrNotControlled = errors.New("proc: the process has not called proc.Child")

	errClosed = errors.New("proc: the process is closed")
)

// NotReadyError says that a process has ended before it was ready. It wraps ErrEnded.
type NotReadyError struct{ Exit Exit }

// Error implements error.
func (e *NotReadyError) Error() string {
	return fmt.Sprintf("%v before it was ready: %+v", ErrEnded, e.Exit)
}

// Unwrap returns ErrEnded.
func (*NotReadyError) Unwrap() error { return ErrEnded }

// Process is a subprocess that can be started again. All methods are safe for
// concurrent use. Restart, Stop and Close take turns; Kill interrupts them.
type Process struct {
	options Options
	mark    string // in the environment of all that it starts
	guard   *guard.Guard

	// turn is held by what starts an incarnation, or ends all.
	turn   sync.Mutex
	closed bool
	failed int // incarnations in a row that were short or never ready

	mu     sync.Mutex
	last   *incarnation // ended or not
	exits  []Exit
	plan   Plan
	offset time.Duration
}

// reap ends what bears the mark $1, also what has left its group.
const reap = `
tries=0
while pids=$(grep -lzxF -e "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3); [ -n "$pids" ]; do
	tries=$((tries + 1))
	[ $tries -gt 400 ] && exit 1
	kill -KILL $pids 2>/dev/null
	sleep 0.02
done
exit 0
`

// Start starts a process and waits until it is ready. The context bounds that
// only, not the life of the process: Close ends it. After an error nothing runs.
func Start(ctx context.Context, options Options) (*Process, error) {
	if !supported {
		return nil, fmt.Errorf("proc: processes need a Unix system: %w", errors.ErrUnsupported)
	}
	options, err := options.complete()
	if err != nil {
		return nil, err
	}
	p := &Process{options: options, plan: options.Crash, offset: options.ClockOffset}
	p.mark = fmt.Sprintf("%s=%d-%016x", envRun, os.Getpid(), rand.Uint64())
	if p.guard, err = guard.Start(reap, p.mark); err != nil {
		return nil, err
	}
	p.turn.Lock()
	err = p.begin(ctx)
	p.turn.Unlock()
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Restart kills the process if it runs, waits as Options.BackoffMin says, starts
// it again and waits until it is ready. After an error nothing runs, and Restart
// may be called again.
func (p *Process) Restart(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		return errClosed
	}
	if in := p.current(); in != nil {
		in.kill()
		<-in.done
		p.judge(in)
	}
	if err := sleep(ctx, p.backoff()); err != nil {
		return fmt.Errorf("proc: restart: %w", err)
	}
	return p.begin(ctx)
}

// judge counts incarnations that failed.
func (p *Process) judge(in *incarnation) {
	if in.isReady() && in.exit.Lived >= p.options.BackoffMax {
		p.failed = 0
		return
	}
	p.failed++
}

func (p *Process) backoff() time.Duration {
	if p.failed == 0 {
		return 0
	}
	return min(p.options.BackoffMax, p.options.BackoffMin<<min(p.failed-1, 20))
}

// begin starts an incarnation and waits until it is ready. The caller holds turn.
func (p *Process) begin(ctx context.Context) error {
	p.mu.Lock()
	number, plan, offset := 1, p.plan, p.offset
	if p.last != nil {
		number = p.last.number + 1
	}
	p.mu.Unlock()
	in, err := p.startIncarnation(number, plan, offset)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.last = in
	p.mu.Unlock()
	if p.options.ReadyWithin > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, p.options.ReadyWithin,
			fmt.Errorf("it was not ready within %v", p.options.ReadyWithin))
		defer cancel()
	}
	select {
	case <-in.ready:
		return nil
	case <-ctx.Done():
		in.kill()
		<-in.done
		return fmt.Errorf("proc: start: %w", context.Cause(ctx))
	case <-in.done:
		if in.isReady() {
			return nil // it was, and has ended since
		}
		return &NotReadyError{in.exit}
	}
}

// PID is the process ID, or 0 if the process has ended.
func (p *Process) PID() int {
	if in := p.running(); in != nil {
		return in.pid
	}
	return 0
}

// Starts is how often the process has been started.
func (p *Process) Starts() int {
	if in := p.current(); in != nil {
		return in.number
	}
	return 0
}

// Wait waits for the end of the incarnation that runs, or returns the last one's exit at
// once. Its error is the context's.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	in := p.current()
	select {
	case <-in.done:
		return in.exit, nil
	default:
	}
	select {
	case <-in.done:
		return in.exit, nil
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Exits returns how all incarnations so far have ended, the oldest first.
func (p *Process) Exits() []Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Exit(nil), p.exits...)
}

// Supervise starts the process again whenever it has ended, also if it never got
// ready, until the context ends; then it returns the context's error and leaves
// the process as it is. If tell is not nil it is called with each exit, on this
// goroutine. It returns another error only if the process is closed or its program
// cannot be run.
func (p *Process) Supervise(ctx context.Context, tell func(Exit)) error {
	for told := 0; ; {
		exit, err := p.Wait(ctx)
		if err != nil {
			return err
		}
		if tell != nil && exit.Start > told {
			tell(exit)
		}
		told = exit.Start
		err = p.Restart(ctx)
		if ctx.Err() != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		if err != nil && p.Starts() == exit.Start {
			return err // not even begun
		}
	}
}

// Close kills the process and all that it has started, and returns when they are
// gone. It is legal more than once.
func (p *Process) Close() error {
	p.Kill() // before the turn comes: whoever waits for it to be ready has it
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	if in := p.current(); in != nil {
		in.kill()
		<-in.done
	}
	return p.guard.Run()
}

func (p *Process) current() *incarnation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// running is the incarnation that has not ended, or nil.
func (p *Process) running() *incarnation {
	in := p.current()
	if in == nil || in.ended() {
		return nil
	}
	return in
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return context.Cause(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
