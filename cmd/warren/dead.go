package main

import (
	"math"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
)

const deadDescription = `A call whose attempts ended its servers again and again is parked: it stands in the
queue METHOD.dead, with what happened to it, until somebody decides. These
commands look at parked calls, send them to the method again, or remove them.

A call that is being looked at is out of the queue so long, for others that look,
and returns to its place. Killed at any moment, the tool loses nothing: what it has
not removed is still parked.

The exit code is 4 if there is no such queue, because no server parks calls of that
method, and 1 if the call is not in it.

Examples:
   warren dead list orders.place
   warren dead show orders.place 4f1c2d6e-97a3-4b52-8f0e-2a4d6c1b9e35
   warren dead replay orders.place 4f1c2d6e-97a3-4b52-8f0e-2a4d6c1b9e35
   warren dead replay --all --limit 100 orders.place
   warren dead drop --yes orders.place 4f1c2d6e-97a3-4b52-8f0e-2a4d6c1b9e35`

func deadCommand() *cli.Command {
	return commandGroup("dead", "look at parked calls, replay them or drop them", deadDescription,
		deadListCommand(), deadShowCommand(), deadReplayCommand(), deadDropCommand())
}

// deadFlags are those of all commands about a dead queue, after their own.
func deadFlags(own ...cli.Flag) []cli.Flag {
	return connectionFlags(defaultURL, append(own, timeoutFlag())...)
}

// mostParked bounds --limit: what is listed is in memory.
const mostParked = 1_000_000

// deadSelection says which parked calls a command is about: those of one call ID, or
// all, up to a limit.
type deadSelection struct {
	method, callID string
	all            bool
	limit          int
}

// selectionFlags are those that [readSelection] reads.
func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "all", Usage: "all calls that are parked when it begins"},
		&cli.IntFlag{Name: "limit", Usage: "with --all: no more than `N`, the oldest", DefaultText: "no limit"},
	}
}

func readSelection(cmd *cli.Command) (deadSelection, error) {
	args, err := arguments(cmd, 1, 2)
	if err != nil {
		return deadSelection{}, err
	}
	s := deadSelection{method: args[0], all: cmd.Bool("all"), limit: math.MaxInt}
	switch {
	case s.all == (len(args) == 2):
		return s, usageError(cmd, "which calls: give either a CALL_ID or --all")
	case !s.all && cmd.IsSet("limit"):
		return s, usageError(cmd, "--limit goes with --all")
	case !s.all:
		s.callID = args[1]
	case cmd.IsSet("limit"):
		s.limit = cmd.Int("limit")
		if err := within(cmd, "limit", s.limit, 1, mostParked); err != nil {
			return s, err
		}
	}
	return s, checkDeadMethod(cmd, s.method)
}

func checkDeadMethod(cmd *cli.Command, method string) error {
	if err := warren.CheckMethod(method); err != nil {
		return usageError(cmd, "%v", err)
	}
	return nil
}

// matches reports whether p is one of those selected.
func (s *deadSelection) matches(p *parked) bool { return s.all || p.CorrelationId == s.callID }

// missing is the error if no parked call matched.
func (s *deadSelection) missing() error {
	if s.all {
		return nil
	}
	return exit(exitInternal, "the call %.130q is not among the parked calls of %s", s.callID, s.method)
}
