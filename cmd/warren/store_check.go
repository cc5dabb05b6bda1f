package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

const storeCheckDescription = `Reads all of STORE, and prints what is wrong with it, one finding on a line. It changes
nothing. The exit code is 7 if anything is wrong.

Of a file it reads the pages, the database, every record, the index and the counts; of
a store in PostgreSQL or Redis the records, as a server would, each held against its
own digest.

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
		ArgsUsage:   "STORE",
		Description: storeCheckDescription,
		Flags:       storeCommandFlags(),
		Action:      storeCheck,
	}
}

// storeCheckResult is what `warren store check --json` prints.
type storeCheckResult struct {
	OK       bool     `json:"ok"`
	Records  int      `json:"records"` // those that could be read
	Findings []string `json:"findings"`
}

func newStoreCheckResult(records int, findings []string) *storeCheckResult {
	return &storeCheckResult{OK: len(findings) == 0, Records: records, Findings: append([]string{}, findings...)}
}

func storeCheck(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	at, _, err := storeArguments(cmd, 0, 0)
	if err != nil {
		return err
	}
	r, err := at.check(ctx)
	if err != nil {
		return storeError(ctx, err)
	}
	switch {
	case out.json:
		err = out.object(r)
	case r.OK:
		err = out.printf("%s: %s, nothing wrong\n", at, count(r.Records, "record"))
	default:
		for _, finding := range r.Findings {
			if err = out.printf("%s: %s\n", at, finding); err != nil {
				return err
			}
		}
	}
	if err != nil || r.OK {
		return err
	}
	if _, isFile := at.(fileLocation); isFile {
		out.note("if the records are whole, `warren store compact %s --to NEW` writes a file without the damage; else restore a backup: "+
			"calls whose records are lost may run again", at)
	}
	return &exitError{code: exitBroken}
}
