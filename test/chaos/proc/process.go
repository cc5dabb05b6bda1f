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

// Process is a subprocess that can be started again. All methods are safe for
// concurrent use. Restart, Stop and Close take turns; Kill interrupts them.
type Process struct {
	options Options
	mark    string // in the environment of all that it starts
	guard   *guard.Guard

	// turn is held by what starts a life, or ends all.
	turn   sync.Mutex
	closed bool
	failed int // lives in a row that were short or never ready

	mu     sync.Mutex
	life   *life // the last one, ended or not
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
		return nil, fmt.Errorf("proc: processes need Linux: %w", errors.ErrUnsupported)
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
	if l := p.current(); l != nil {
		l.kill()
		<-l.done
		p.judge(l)
	}
	if err := sleep(ctx, p.backoff()); err != nil {
		return fmt.Errorf("proc: restart: %w", err)
	}
	return p.begin(ctx)
}

// judge counts lives that failed.
func (p *Process) judge(l *life) {
	if l.isReady() && l.exit.Lived >= p.options.BackoffMax {
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

// begin starts a life and waits until it is ready. The caller holds turn.
func (p *Process) begin(ctx context.Context) error {
	p.mu.Lock()
	number, plan, offset := 1, p.plan, p.offset
	if p.life != nil {
		number = p.life.number + 1
	}
	p.mu.Unlock()
	l, err := p.startLife(number, plan, offset)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.life = l
	p.mu.Unlock()
	if p.options.ReadyWithin > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, p.options.ReadyWithin,
			fmt.Errorf("it was not ready within %v", p.options.ReadyWithin))
		defer cancel()
	}
	select {
	case <-l.ready:
		return nil
	case <-ctx.Done():
		l.kill()
		<-l.done
		return fmt.Errorf("proc: start: %w", context.Cause(ctx))
	case <-l.done:
		if l.isReady() {
			return nil // it was, and has ended since
		}
		return fmt.Errorf("%w before it was ready: %+v", ErrEnded, l.exit)
	}
}

// PID is the process ID, or 0 if the process has ended.
func (p *Process) PID() int {
	if l := p.running(); l != nil {
		return l.pid
	}
	return 0
}

// Starts is how often the process has been started.
func (p *Process) Starts() int {
	if l := p.current(); l != nil {
		return l.number
	}
	return 0
}

// Wait waits for the end of the life that runs, or returns the last one's exit at
// once. Its error is the context's.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	l := p.current()
	select {
	case <-l.done:
		return l.exit, nil
	default:
	}
	select {
	case <-l.done:
		return l.exit, nil
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Exits returns how all lives so far have ended, the oldest first.
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
	if l := p.current(); l != nil {
		l.kill()
		<-l.done
	}
	return p.guard.Run()
}

func (p *Process) current() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// running is the life that has not ended, or nil.
func (p *Process) running() *life {
	l := p.current()
	if l == nil || l.ended() {
		return nil
	}
	return l
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
