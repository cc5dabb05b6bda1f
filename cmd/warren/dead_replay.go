package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"
)

const deadReplayDescription = `Sends parked calls of METHOD to its queue once more: the request as it came, with a
mark that names the incident and who had called, and without a deadline. A server
with a store runs again what it had parked itself, for the caller who made the call,
and believes no other mark. Only when the broker has confirmed a call is it removed
from the parked ones. Killed in between, the tool leaves it in both places; a server
with a store then runs it once. Its reply goes to who called, if they still wait.

A call that its server refuses is parked again, with the refusal as its error: list
shows it. The same run does not send again what is parked meanwhile. If METHOD has no
queue, nothing is removed, and the exit code is 4. What no server would take, or the
broker refuses, is left parked, and the others are sent; the exit code is then 1.

Examples:
   warren dead replay orders.place 4f1c2d6e-97a3-4b52-8f0e-2a4d6c1b9e35
   warren dead replay --all orders.place
   warren dead replay --all --limit 10 --json orders.place`

func deadReplayCommand() *cli.Command {
	return &cli.Command{
		Name:        "replay",
		Usage:       "send parked calls to their method again",
		ArgsUsage:   "METHOD CALL_ID | --all METHOD",
		Description: deadReplayDescription,
		Flags:       deadFlags(selectionFlags()...),
		Action:      deadReplay,
	}
}

// deadReplayResult is what `warren dead replay --json` prints, of a run too that an
// error has ended.
type deadReplayResult struct {
	Method   string `json:"method"`
	Replayed int    `json:"replayed"`
	Skipped  int    `json:"skipped"` // could not be sent
	Left     int    `json:"left"`    // are still parked, those that were skipped too
}

func deadReplay(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	s, err := readSelection(cmd)
	if err != nil {
		return err
	}
	q, err := openDeadQueue(ctx, cmd, s.method)
	if err != nil {
		return err
	}
	r := deadReplayResult{Method: s.method, Left: q.ready}
	err = q.each(ctx, s.limit, func(p *parked) error {
		if !s.matches(p) {
			return nil
		}
		msg, err := p.request(s.method)
		if err == nil {
			err = q.publish(ctx, msg)
			if refused := (*refusedError)(nil); err != nil && !errors.As(err, &refused) {
				return err
			}
		}
		if err != nil {
			r.Skipped++
			out.note("the call %.130q stays parked: %s", p.CorrelationId, message(err))
			return nil
		}
		r.Replayed++
		if err = q.remove(p); err == nil {
			r.Left--
		}
		return err
	})
	err = endDead(q, err)
	if out.json {
		err = firstError(out.object(r), err)
	} else if r.Replayed > 0 || s.all && err == nil {
		err = firstError(out.printf("replayed %s of %s, %d left\n", count(r.Replayed, "call"), r.Method, r.Left), err)
	}
	switch {
	case err != nil:
		return err
	case r.Skipped > 0:
		return exit(exitInternal, "%s could not be sent, and stayed parked", count(r.Skipped, "call"))
	case r.Replayed == 0:
		return s.missing()
	}
	return nil
}

// endDead closes the queue after a run that ended with err, which comes first.
func endDead(q *deadQueue, err error) error { return firstError(err, q.close()) }

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
