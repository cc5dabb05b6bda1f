package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

const storeSweepDescription = `Forgets the records of STORE that are past their retention, and says how many. A
record whose owner is at work stays. Servers do this by themselves; what it is for is
room at once, and a store that no server has open.

Examples:
   warren store sweep orders.db
   warren store sweep --store postgres://ops@db/shop`

func storeSweepCommand() *cli.Command {
	return &cli.Command{
		Name:        "sweep",
		Usage:       "forget the records that are past their retention",
		ArgsUsage:   "STORE",
		Description: storeSweepDescription,
		Flags:       storeCommandFlags(),
		Action:      storeSweep,
	}
}

// storeSweepResult is what `warren store sweep --json` prints.
type storeSweepResult struct {
	Forgotten int `json:"forgotten"`
}

func storeSweep(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	at, _, err := storeArguments(cmd, 0, 0)
	if err != nil {
		return err
	}
	n, err := at.sweep(ctx)
	if err != nil {
		return storeError(ctx, err)
	}
	if out.json {
		return out.object(storeSweepResult{n})
	}
	return out.printf("%s: %s forgotten\n", at, count(n, "record"))
}
