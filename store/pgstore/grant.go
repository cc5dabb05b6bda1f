package pgstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// slots is how many partitions there are beside slot 0.
const slots = 12

// serverRights are what a server does to which tables of the schema. Most rows are
// reached through the table records, whose rights are those that count; a call ends in
// the partition that its claim was put in, and the ring empties partitions.
var serverRights = []struct{ rights, objects string }{
	{"SELECT", "TABLE meta"},
	{"SELECT, UPDATE", "TABLE slots"},
	{"SELECT, INSERT, UPDATE, DELETE", "TABLE records, tombstones"},
	{"SELECT, UPDATE", "TABLE records_0"},
	{"SELECT, UPDATE, TRUNCATE", "TABLE " + partitions()},
	{"SELECT, INSERT, UPDATE (opened), DELETE", "TABLE owners"},
	{"USAGE", "SEQUENCE tokens"},
}

// partitions lists those that are emptied.
func partitions() string {
	names := make([]string, slots)
	for i := range names {
		names[i] = fmt.Sprintf("records_%d", i+1)
	}
	return strings.Join(names, ", ")
}

// grant gives the role what a server needs in the schema, which is the search path.
func grant(ctx context.Context, tx pgx.Tx, schema, role string) error {
	statements := []string{"GRANT USAGE ON SCHEMA " + quote(schema) + " TO " + quote(role)}
	for _, r := range serverRights {
		statements = append(statements, "GRANT "+r.rights+" ON "+r.objects+" TO "+quote(role))
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("pgstore: grant role %q what a server needs: %w", role, err)
		}
	}
	return nil
}
