package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

const deadListDescription = `Prints the parked calls of METHOD, oldest first, without their bodies: the call ID,
how many attempts were begun, when it was parked and why, the size of its body in
bytes, and the last error. The calls stay where they are. Calls that another run of
this tool holds at the time are not seen.

Examples:
   warren dead list orders.place
   warren dead list --json --limit 1000 orders.place | jq -r '.calls[].call_id'`

func deadListCommand() *cli.Command {
	return &cli.Command{
		Name:        "list",
		Usage:       "list the parked calls of a method",
		ArgsUsage:   "METHOD",
		Description: deadListDescription,
		Flags: deadFlags(
			&cli.IntFlag{Name: "limit", Value: 100, Usage: "list no more than `N`, the oldest"},
		),
		Action: deadList,
	}
}

// deadListResult is what `warren dead list --json` prints.
type deadListResult struct {
	Method string     `json:"method"`
	Total  int        `json:"total"` // listed or not
	Calls  []deadCall `json:"calls"`
}

func deadList(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	args, err := arguments(cmd, 1, 1)
	if err != nil {
		return err
	}
	if err := checkDeadMethod(cmd, args[0]); err != nil {
		return err
	}
	limit := cmd.Int("limit")
	if err := within(cmd, "limit", limit, 1, mostParked); err != nil {
		return err
	}
	q, err := openDeadQueue(ctx, cmd, args[0])
	if err != nil {
		return err
	}
	r := deadListResult{Method: q.method, Total: q.ready, Calls: []deadCall{}}
	err = q.each(ctx, limit, func(p *parked) error {
		r.Calls = append(r.Calls, p.summary())
		return nil
	})
	if err != nil {
		q.drop()
		return err
	}
	// The calls are back in their places when the tool ends.
	if err := q.close(); err != nil {
		return err
	}
	if out.json {
		return out.object(r)
	}
	if len(r.Calls) == 0 {
		out.note("no call of %s is parked", r.Method)
		return nil
	}
	if len(r.Calls) < r.Total {
		out.note("%d of %s; see --limit", len(r.Calls), count(r.Total, "call"))
	}
	return out.text(r.table())
}

func (r *deadListResult) table() string {
	rows := newSheet("CALL ID", "ATTEMPTS", "PARKED AT", "REASON", "SIZE", "ERROR")
	for _, c := range r.Calls {
		rows.row(c.CallID, c.Attempts, c.At, c.Reason, c.Size, c.Error)
	}
	return rows.String()
}
