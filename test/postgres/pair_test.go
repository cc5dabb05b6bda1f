package postgres

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"
)

func TestFailoverKeepsWhatWasConfirmedAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	p := NewPair(t, Options{})
	query(t, p.Primary(), "CREATE TABLE t (x int)")
	address := p.URL("")
	for i := range 3 {
		old := p.Primary()
		// The last commit before the kill was confirmed by the standby.
		query(t, old, "INSERT INTO t VALUES (1)")
		if err := p.Failover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p.Primary() == old || p.Standby() != old || p.URL("") != address {
			t.Fatal("the roles have not changed")
		}
		if got := query(t, p.Primary(), "SELECT count(*) FROM t"); got != strconv.Itoa(i+1) {
			t.Errorf("%s rows after fail-over %d", got, i+1)
		}
		if got := query(t, p.Standby(), "SELECT pg_is_in_recovery()"); got != "t" {
			t.Error("the killed one is not a standby")
		}
	}
	cmd := p.Primary().programs.command(p.Primary().Dir, "psql", "-X", "-A", "-t", "-c", "SELECT pg_is_in_recovery()", p.URL(""))
	if got, err := run(t.Context(), cmd); err != nil || got != "f" {
		t.Errorf("the pair's address leads to a server in recovery: %q, %v", got, err)
	}
}

func TestCommitWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	p := NewPair(t, Options{})
	query(t, p.Primary(), "CREATE TABLE t (x int)")
	p.Standby().Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.Primary().Exec(ctx, "INSERT INTO t VALUES (1)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit did not wait: %v", err)
	}
	if err := p.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	query(t, p.Primary(), "INSERT INTO t VALUES (1)")
}
