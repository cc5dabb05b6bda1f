package disk

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// between is how long a slow disk works between two pauses.
const between = 2 * time.Millisecond

var errClosed = errors.New("disk: the disk is closed")

// Stall stops the disk: what writes or syncs waits until Resume, in the kernel,
// where no signal reaches it. A process that waits so cannot even be killed: it
// ends when the disk resumes. Stall itself first writes out what is in memory. It
// is legal more than once, and ends a slowness.
func (d *Disk) Stall() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mayStop(); err != nil {
		return err
	}
	if err := d.calm(); err != nil {
		return err
	}
	if err := freeze(d.root); err != nil {
		return fmt.Errorf("disk: stall: %w", err)
	}
	d.stopped = true
	return nil
}

// Resume ends what Stall or Slow has begun, and does nothing if there is nothing
// to end. Its error may be one that a slow disk met before.
func (d *Disk) Resume() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	return d.calm()
}

// Slow has the disk stop for so long again and again, and work for 2 ms in
// between, until Resume. Most writes and syncs then take up to that long, some
// none.
func (d *Disk) Slow(pause time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mayStop(); err != nil {
		return err
	}
	if err := d.calm(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.endSlow = cancel
	d.slowing.Go(func() { d.slowErr = d.stutter(ctx, pause) })
	return nil
}

// Pauses counts those of Slow that are over, since New.
func (d *Disk) Pauses() int { return int(d.pauses.Load()) }

func (d *Disk) stutter(ctx context.Context, pause time.Duration) error {
	for ctx.Err() == nil {
		if err := freeze(d.root); err != nil {
			return fmt.Errorf("disk: slow: %w", err)
		}
		rest(ctx, pause)
		if err := thaw(d.root); err != nil {
			return fmt.Errorf("disk: slow: %w", err)
		}
		d.pauses.Add(1)
		rest(ctx, between)
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (d *Disk) mayStop() error {
	switch {
	case d.closed:
		return errClosed
	case d.root == nil:
		return ErrNoStop
	}
	return nil
}

// calm has the disk work as usual. The caller holds mu.
func (d *Disk) calm() error {
	if d.endSlow != nil {
		d.endSlow()
		d.slowing.Wait()
		d.endSlow = nil
		return d.slowErr
	}
	if !d.stopped {
		return nil
	}
	d.stopped = false
	if err := thaw(d.root); err != nil {
		return fmt.Errorf("disk: resume: %w", err)
	}
	return nil
}
