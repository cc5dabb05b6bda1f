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
	in := p.running()
	if in == nil {
		return
	}
	in.kill()
	<-in.done
}

// KillWithin kills the process at a random time between low and high from now,
// drawn from random, or returns the context's error when that ends. If the incarnation
// that runs now ends by itself meanwhile, the next one is spared.
func (p *Process) KillWithin(ctx context.Context, low, high time.Duration, random *rand.Rand) error {
	in := p.running()
	if in == nil {
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
		in.kill()
		<-in.done
	case <-in.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Freeze stops the process and its group with SIGSTOP: its connections stay open
// and say nothing. When it returns no thread of the process runs.
func (p *Process) Freeze(ctx context.Context) error {
	in := p.running()
	if in == nil {
		return ErrEnded
	}
	if err := in.signal(stop); err != nil {
		return fmt.Errorf("proc: freeze: %w", err)
	}
	// The signal reaches the threads one by one.
	for !isFrozen(in.pid) {
		if in.ended() {
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
	in := p.running()
	if in == nil {
		return ErrEnded
	}
	return in.signal(resume)
}

// Stop asks the process to end with SIGTERM, thawing it first, and waits until it
// has. If the context ends before, the process may still run. A process that has
// ended is no error.
func (p *Process) Stop(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	in := p.running()
	if in == nil {
		return nil
	}
	err := errors.Join(in.signal(resume), in.signal(syscall.SIGTERM))
	if err != nil && !errors.Is(err, ErrEnded) {
		return fmt.Errorf("proc: stop: %w", err)
	}
	select {
	case <-in.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("proc: stop: %w", context.Cause(ctx))
	}
}

// SetCrash sets the plan of the starts to come. The incarnation that runs keeps its own.
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
	in := p.running()
	if in == nil {
		return Sample{}, ErrEnded
	}
	answer, err := in.order(ctx, message{Verb: verbSample})
	if err != nil && !errors.Is(err, ErrNotControlled) {
		return Sample{}, err
	}
	sample := Sample{PID: in.pid, Goroutines: -1}
	if answer.Sample != nil {
		sample.Goroutines, sample.Heap = answer.Sample.Goroutines, answer.Sample.Heap
	}
	if sample.Descriptors, sample.RSS, err = usage(in.pid); err != nil && in.ended() {
		err = ErrEnded
	}
	return sample, err
}

func (p *Process) order(ctx context.Context, order message) (message, error) {
	in := p.running()
	if in == nil {
		return message{}, ErrEnded
	}
	return in.order(ctx, order)
}

// order tells the child something and waits for its answer.
func (in *incarnation) order(ctx context.Context, order message) (message, error) {
	controlled := in.isControlled(ctx)
	answer := make(chan message, 1)
	in.mu.Lock()
	switch {
	case in.dumb:
		in.mu.Unlock()
		return message{}, ErrEnded
	case !controlled:
		in.mu.Unlock()
		return message{}, ErrNotControlled
	}
	in.ids++
	order.ID = in.ids
	in.pending[order.ID] = answer
	_ = in.orders.SetWriteDeadline(time.Now().Add(time.Second)) // of a frozen child the pipe may be full
	_, err := in.orders.Write(order.line())
	in.mu.Unlock()
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
		in.mu.Lock()
		defer in.mu.Unlock()
		delete(in.pending, order.ID)
		return message{}, fmt.Errorf("proc: %s: %w", order.Verb, context.Cause(ctx))
	}
}
