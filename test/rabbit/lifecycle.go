package rabbit

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// Stop ends the broker as an administrator would: connections are closed and
// queues written. Data, ports and folder stay for Restart. A frozen broker is
// thawed first; one that is down stays so, without an error. If the context
// ends before the broker has, it may still be running or on its way down.
func (n *Node) Stop(ctx context.Context) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	return n.stop(ctx)
}

// stop does the work of Stop for a caller that holds turn.
func (n *Node) stop(ctx context.Context) error {
	beam := n.process()
	if !beam.Running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()
	if err := errors.Join(beam.Thaw(), beam.Signal(syscall.SIGTERM)); err != nil && beam.Running() {
		return fmt.Errorf("rabbit: stop: %w", err)
	}
	select {
	case <-beam.Done():
		n.control.reset()
		n.logf("rabbit: %s stopped", n.name)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("rabbit: stop: %w", context.Cause(ctx))
	}
}

// Kill ends the broker with SIGKILL, whatever it is doing, also in the middle
// of Stop or Restart, and returns when the process is gone. What it had on disk
// stays for Restart. It does nothing if the broker is down.
func (n *Node) Kill() {
	beam := n.process()
	if !beam.Running() {
		return
	}
	beam.Kill()
	n.control.reset()
	n.logf("rabbit: %s killed", n.name)
}

// Restart starts the broker again on the same ports and the same data, and
// returns when it accepts connections. One that still runs is stopped first.
// The context bounds the whole, by default three minutes. After an error the
// broker is down, unless it could not be stopped, and Restart may be called
// again; the error carries the end of the log.
func (n *Node) Restart(ctx context.Context) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	if n.life.Err() != nil {
		return errors.New("rabbit: restart: the node is closed")
	}
	if err := n.stop(ctx); err != nil {
		return err
	}
	return n.boot(ctx)
}

// Freeze stops the broker's process with SIGSTOP, so that its connections stay
// open and say nothing, like those of a machine that hangs. When it returns no
// part of the broker runs. It fails if the broker is down.
func (n *Node) Freeze() error {
	if err := n.process().Freeze(); err != nil {
		return fmt.Errorf("rabbit: freeze: %w", err)
	}
	return nil
}

// Thaw lets a frozen broker go on. It fails if the broker is down and does
// nothing if it is not frozen.
func (n *Node) Thaw() error {
	if err := n.process().Thaw(); err != nil {
		return fmt.Errorf("rabbit: thaw: %w", err)
	}
	return nil
}
