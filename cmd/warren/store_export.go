package main

import (
	"bufio"
	"context"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/store"
)

const storeExportDescription = `Prints all records of STORE, or those in a state or of a method, one JSON object on a
line: of a file about in the order in which they expire, else in any. An object is that of get --json, with
the reply or error that the call ended with: bodies are in it.

Examples:
   warren store export orders.db >orders.jsonl
   warren store export orders.db --state interrupted --method orders.place | jq -r .call_id`

func storeExportCommand() *cli.Command {
	return &cli.Command{
		Name:        "export",
		Usage:       "print records as JSON Lines",
		ArgsUsage:   "STORE",
		Description: storeExportDescription,
		Flags: storeCommandFlags(
			&cli.StringFlag{Name: "state", Usage: "only records in `STATE`: interrupted, completed, failed, parked, tombstone or, but not of a file, in_progress"},
			&cli.StringFlag{Name: "method", Usage: "only records of `METHOD`"},
		),
		Action: storeExport,
	}
}

func storeExport(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	at, _, err := storeArguments(cmd, 0, 0)
	if err != nil {
		return err
	}
	state, err := stateFlag(cmd, at)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, at)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was only read
	lines := bufio.NewWriter(out.stdout.raw)
	method := cmd.String("method")
	err = s.Each(ctx, func(record store.Record) error {
		if state != store.Absent && record.State != state || method != "" && record.Method != method {
			return nil
		}
		return written(writeObject(lines, newStoreRecord(&record)))
	})
	return firstError(storeError(ctx, err), written(lines.Flush()))
}

// stateFlag reads --state; Absent if it is not given.
func stateFlag(cmd *cli.Command, at storeLocation) (store.State, error) {
	if !cmd.IsSet("state") {
		return store.Absent, nil
	}
	name := cmd.String("state")
	var names []string
	for _, state := range at.states() {
		if state.String() == name {
			return state, nil
		}
		names = append(names, state.String())
	}
	return store.Absent, usageError(cmd, "--state: there is no state %.60q: %s or %s",
		name, strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
}
