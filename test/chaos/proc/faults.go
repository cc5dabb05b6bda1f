package proc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

// Kill ends the process and its group with SIGKILL, frozen or not, and returns
// when it is gone. It does nothing if the process has ended.
func (p *Process) Kill() {
	l := p.running()
	if l == nil {
		return
	}
	l.kill()
	<-l.done
}

// KillWithin kills the process at a random time between low and high from now,
// drawn from random, or returns the context's error when that ends. If the life
// that runs now ends by itself meanwhile, the next one is spared.
func (p *Process) KillWithin(ctx context.Context, low, high time.Duration, random *rand.Rand) error {
	l := p.running()
	if l == nil {
		return ErrEnded
	}
	wait := low
	if high > low {
		wait += time.Duration(random.Int64N(int64(high - low)))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		l.kill()
		<-l.done
	case <-l.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Freeze stops the process and its group with SIGSTOP: its connections stay open
// and say nothing. When it returns no thread of the process runs.
func (p *Process) Freeze(ctx context.Context) error {
	l := p.running()
	if l == nil {
		return ErrEnded
	}
	if err := l.signal(stop); err != nil {
		return fmt.Errorf("proc: freeze: %w", err)
	}
	// The signal reaches the threads one by one.
	for !isFrozen(l.pid) {
		if l.ended() {
			return ErrEnded
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("proc: freeze: %w", err)
		}
	}
	return nil
}

// Thaw lets a frozen process go on, and does nothing to one that is not frozen.
func (p *Process) Thaw() error {
	l := p.running()
	if l == nil {
		return ErrEnded
	}
	return l.signal(resume)
}

// Stop asks the process to end with SIGTERM, thawing it first, and waits until it
// has. If the context ends before, the process may still run. A process that has
// ended is no error.
func (p *Process) Stop(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	l := p.running()
	if l == nil {
		return nil
	}
	err := errors.Join(l.signal(resume), l.signal(syscall.SIGTERM))
	if err != nil && !errors.Is(err, ErrEnded) {
		return fmt.Errorf("proc: stop: %w", err)
	}
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("proc: stop: %w", context.Cause(ctx))
	}
}

// SetCrash sets the plan of the starts to come. The life that runs keeps its own.
func (p *Process) SetCrash(plan Plan) error {
	if err := plan.Check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
	return nil
}

// Arm gives the process that runs another plan, which counts from now on; the
// starts to come keep theirs. When it returns the plan is in force.
func (p *Process) Arm(ctx context.Context, plan Plan) error {
	if err := plan.Check(); err != nil {
		return err
	}
	_, err := p.order(ctx, message{Verb: verbArm, Text: string(plan), Seed: p.options.Seed + uint64(p.Starts())})
	return err
}

// SetClock sets how far the clock of the process, its Control.Now, is off, in
// either direction, from now on and for the starts to come.
func (p *Process) SetClock(ctx context.Context, offset time.Duration) error {
	p.mu.Lock()
	p.offset = offset
	p.mu.Unlock()
	_, err := p.order(ctx, message{Verb: verbClock, Text: offset.String()})
	return err
}

// Sample tells what the process uses. One that has called Child collects garbage
// first, and if it is frozen does not answer before the context ends.
func (p *Process) Sample(ctx context.Context) (Sample, error) {
	l := p.running()
	if l == nil {
		return Sample{}, ErrEnded
	}
	answer, err := l.order(ctx, message{Verb: verbSample})
	if err != nil && !errors.Is(err, ErrNotControlled) {
		return Sample{}, err
	}
	sample := Sample{PID: l.pid, Goroutines: -1}
	if answer.Sample != nil {
		sample.Goroutines, sample.Heap = answer.Sample.Goroutines, answer.Sample.Heap
	}
	if sample.Descriptors, sample.RSS, err = usage(l.pid); err != nil && l.ended() {
		err = ErrEnded
	}
	return sample, err
}

func (p *Process) order(ctx context.Context, order message) (message, error) {
	l := p.running()
	if l == nil {
		return message{}, ErrEnded
	}
	return l.order(ctx, order)
}

// order tells the child something and waits for its answer.
func (l *life) order(ctx context.Context, order message) (message, error) {
	answer := make(chan message, 1)
	l.mu.Lock()
	switch {
	case l.dumb:
		l.mu.Unlock()
		return message{}, ErrEnded
	case !l.controlled:
		l.mu.Unlock()
		return message{}, ErrNotControlled
	}
	l.ids++
	order.ID = l.ids
	l.pending[order.ID] = answer
	_ = l.orders.SetWriteDeadline(time.Now().Add(time.Second)) // of a frozen child the pipe may be full
	_, err := l.orders.Write(order.line())
	l.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return message{}, fmt.Errorf("proc: %s: the process takes no orders: %w", order.Verb, err)
	}
	select {
	case reply, ok := <-answer:
		switch {
		case !ok:
			return message{}, ErrEnded
		case reply.Error != "":
			return message{}, errors.New(reply.Error)
		}
		return reply, nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.pending, order.ID)
		return message{}, fmt.Errorf("proc: %s: %w", order.Verb, context.Cause(ctx))
	}
}
