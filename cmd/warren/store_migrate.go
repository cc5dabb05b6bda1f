package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/store/pgstore"
)

const storeMigrateDescription = `Makes the schema of a store in PostgreSQL, or brings one of an earlier version up to
date. Servers do not: they say that it is to be done. Run again it changes nothing, and
one that was interrupted goes on where it stopped. A schema of a later version is
refused, and left as it is.

STORE is the URL of the database; the schema is warren, unless the URL's parameter
schema or --schema names another. The user must be allowed to create it, or own it.
Servers need less: --role grants a role what a server needs, and no more.

--period is how much of time the records of one partition expire in; it is emptied when
that is over. It should be a tenth of the longest retention, or more. 0 leaves that of a
schema that is there, and is 6 h for a new one.

The exit code is 1 if the database cannot be reached, or refuses.

Examples:
   warren store migrate postgres://owner@db/shop
   warren store migrate --store 'postgres://owner@db/shop?schema=orders' --role shop
   WARREN_STORE=postgres://owner@db/shop warren store migrate --period 24h`

func storeMigrateCommand() *cli.Command {
	return &cli.Command{
		Name:        "migrate",
		Usage:       "make the schema of a store in PostgreSQL, or bring it up to date",
		ArgsUsage:   "STORE",
		Description: storeMigrateDescription,
		Flags: storeCommandFlags(
			&cli.StringFlag{Name: "schema", Usage: "`NAME` of the schema", DefaultText: "that of the URL, or warren"},
			&cli.DurationFlag{Name: "period", Usage: "how much of time a partition holds, 1s to 2160h", DefaultText: "as it is, or 6h"},
			&cli.StringFlag{Name: "role", Usage: "grant this `ROLE` what a server needs"},
		),
		Action: storeMigrate,
	}
}

// migrator is a location whose store has a schema.
type migrator interface {
	migrate(ctx context.Context, o pgstore.MigrateOptions) (schema string, err error)
}

// storeMigrateResult is what `warren store migrate --json` prints.
type storeMigrateResult struct {
	URL    string `json:"url"`
	Schema string `json:"schema"`
}

func storeMigrate(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	at, _, err := storeArguments(cmd, 0, 0)
	if err != nil {
		return err
	}
	m, ok := at.(migrator)
	if !ok {
		return usageError(cmd, "only stores in PostgreSQL have a schema; what others need they make themselves")
	}
	o := pgstore.MigrateOptions{Schema: cmd.String("schema"), Period: cmd.Duration("period"), Role: cmd.String("role")}
	if cmd.IsSet("period") {
		if err := within(cmd, "period", o.Period, time.Second, 90*24*time.Hour); err != nil {
			return err
		}
	}
	schema, err := m.migrate(ctx, o)
	if err != nil {
		return storeError(ctx, err)
	}
	if out.json {
		return out.object(storeMigrateResult{URL: at.String(), Schema: schema})
	}
	return out.printf("%s: schema %s is up to date\n", at, schema)
}
