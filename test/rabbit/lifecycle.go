package rabbit

import (
	"context"
	"errors"
	"fmt"

	"github.com/warren-rpc/warren/test/patience"
)

// errDown is the answer of what needs a running broker.
var errDown = errors.New("rabbit: the broker is not running")

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
	if !beam.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()
	if err := errors.Join(thaw(beam.cmd.Process), terminate(beam.cmd.Process)); err != nil && beam.running() {
		return fmt.Errorf("rabbit: stop: %w", err)
	}
	select {
	case <-beam.done:
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
	if !beam.running() {
		return
	}
	_ = beam.cmd.Process.Kill() // fails only if it has just ended
	beam.wait()
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
	beam := n.process()
	if !beam.running() {
		return errDown
	}
	if err := freeze(beam.cmd.Process); err != nil {
		return fmt.Errorf("rabbit: freeze: %w", err)
	}
	// The signal reaches the threads one by one.
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		if !beam.running() {
			return false, errDown
		}
		return isFrozen(beam.pid()), nil
	})
}

// Thaw lets a frozen broker go on. It fails if the broker is down and does
// nothing if it is not frozen.
func (n *Node) Thaw() error {
	beam := n.process()
	if !beam.running() {
		return errDown
	}
	if err := thaw(beam.cmd.Process); err != nil {
		return fmt.Errorf("rabbit: thaw: %w", err)
	}
	return nil
}
