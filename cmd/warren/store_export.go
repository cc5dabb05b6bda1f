package main

import (
	"bufio"
	"context"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/store"
)

const storeExportDescription = `Prints all records of FILE, or those in a state or of a method, one JSON object on a
line, about in the order in which they expire. An object is that of get --json, with
the reply or error that the call ended with: bodies are in it.

Examples:
   warren store export orders.db >orders.jsonl
   warren store export orders.db --state interrupted --method orders.place | jq -r .call_id`

func storeExportCommand() *cli.Command {
	return &cli.Command{
		Name:        "export",
		Usage:       "print records as JSON Lines",
		ArgsUsage:   "FILE",
		Description: storeExportDescription,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "state", Usage: "only records in `STATE`: interrupted, completed, failed, parked or tombstone"},
			&cli.StringFlag{Name: "method", Usage: "only records of `METHOD`"},
		}, outputFlags()...),
		Action: storeExport,
	}
}

func storeExport(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	args, err := arguments(cmd, 1, 1)
	if err != nil {
		return err
	}
	state, err := stateFlag(cmd)
	if err != nil {
		return err
	}
	r, err := openStore(args[0])
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewWriter(out.stdout.raw)
	method := cmd.String("method")
	err = r.All(ctx, func(record store.Record) error {
		if state != store.Absent && record.State != state || method != "" && record.Method != method {
			return nil
		}
		return written(writeObject(lines, newStoreRecord(&record)))
	})
	return firstError(storeError(ctx, err), written(lines.Flush()))
}

// stateFlag reads --state; Absent if it is not given.
func stateFlag(cmd *cli.Command) (store.State, error) {
	if !cmd.IsSet("state") {
		return store.Absent, nil
	}
	name := cmd.String("state")
	for _, state := range recordStates {
		if state.String() == name {
			return state, nil
		}
	}
	return store.Absent, usageError(cmd, "--state: there is no state %.60q: interrupted, completed, failed, parked or tombstone", name)
}
