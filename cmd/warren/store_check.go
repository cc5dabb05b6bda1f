package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/store/boltstore"
)

const storeCheckDescription = `Reads all of FILE: its pages, the database, every record, the index and the counts,
and prints what is wrong with it, one finding on a line. It changes nothing. The exit
code is 7 if anything is wrong.

A server does not use a damaged file: it could take a call for new that has run. If
the records themselves are whole,
   warren store compact FILE --to NEW
writes a file without the damage. Else a backup has to be restored, or a server to
begin with a new file; a call whose record is lost may then run again.

Examples:
   warren store check orders.db
   warren store check --json orders.db | jq -r '.findings[]'`

func storeCheckCommand() *cli.Command {
	return &cli.Command{
		Name:        "check",
		Usage:       "say what is wrong with a file",
		ArgsUsage:   "FILE",
		Description: storeCheckDescription,
		Flags:       outputFlags(),
		Action:      storeCheck,
	}
}

// storeCheckResult is what `warren store check --json` prints.
type storeCheckResult struct {
	OK       bool     `json:"ok"`
	Records  int      `json:"records"` // those that could be read
	Findings []string `json:"findings"`
}

func storeCheck(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	args, err := arguments(cmd, 1, 1)
	if err != nil {
		return err
	}
	report, err := boltstore.Check(ctx, args[0])
	if err != nil {
		return storeError(ctx, err)
	}
	r := storeCheckResult{OK: len(report.Findings) == 0, Records: report.Records, Findings: []string{}}
	r.Findings = append(r.Findings, report.Findings...)
	switch {
	case out.json:
		err = out.object(r)
	case r.OK:
		err = out.printf("%s: %s, nothing wrong\n", args[0], count(r.Records, "record"))
	default:
		for _, finding := range r.Findings {
			if err = out.printf("%s: %s\n", args[0], finding); err != nil {
				return err
			}
		}
	}
	if err != nil || r.OK {
		return err
	}
	out.note("if the records are whole, `warren store compact %s --to NEW` writes a file without the damage; else restore a backup: "+
		"calls whose records are lost may run again", args[0])
	return &exitError{code: exitBroken}
}
