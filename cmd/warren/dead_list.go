package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

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
	return out.printf("%s", r.table())
}

func (r *deadListResult) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "CALL ID\tATTEMPTS\tPARKED AT\tREASON\tSIZE\tERROR")
	for _, c := range r.Calls {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%s\n",
			oneLine(c.CallID), c.Attempts, oneLine(c.At), oneLine(c.Reason), c.Size, oneLine(c.Error))
	}
	_ = w.Flush() // into memory
	return b.String()
}
