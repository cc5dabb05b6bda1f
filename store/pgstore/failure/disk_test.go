package failure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/chaos/disk"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
)

// onSmallDisk starts a server whose data are on a disk of 128 MiB.
func onSmallDisk(t *testing.T) (*postgres.Server, *disk.Disk, *pgxpool.Pool) {
	t.Helper()
	d, err := disk.New(disk.Options{Size: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	// The server's account must be able to enter it.
	if err := errors.Join(os.Chmod(filepath.Dir(d.Path()), 0o755), os.Chmod(d.Path(), 0o755)); err != nil {
		t.Fatal(err)
	}
	server := postgres.New(t, postgres.Options{Folder: d.Path(), Config: map[string]string{
		"min_wal_size": "32MB", "max_wal_size": "32MB", "wal_keep_size": "0",
	}})
	migrate(t, server.URL(""))
	return server, d, connect(t, server.URL(""))
}

// When there is no room for new records, claims tell so, and what was begun completes: its room was kept.
func TestFullDiskTakesNoNewCallsAndEndsOldOnes(t *testing.T) {
	t.Parallel()
	_, d, pool := onSmallDisk(t)
	s := open(t, pool, pgstore.Options{})
	plain, inTransaction := begun(t, s, "plain"), begun(t, s, "in a transaction")
	if err := d.Fill(0); err != nil {
		t.Fatal(err)
	}
	full := (*store.FullError)(nil)
	for n := 0; full == nil; n++ {
		if _, _, err := s.Claim(t.Context(), claimOf(fmt.Sprint(n))); err != nil && !errors.As(err, &full) {
			t.Fatalf("claim %d: %v", n, err)
		}
		if n == 10_000 {
			t.Fatal("the disk does not become full")
		}
	}
	if full.RetryAfter <= 0 {
		t.Errorf("told to come again after %v", full.RetryAfter)
	}
	if err := finish(t.Context(), s, plain); err != nil {
		t.Errorf("complete: %v", err)
	}
	named(t, "the effect has no room, and transact", transact(t.Context(), s, inTransaction), "disk is full")
	if err := d.Empty(); err != nil {
		t.Fatal(err)
	}
	if err := transact(t.Context(), s, inTransaction); err != nil {
		t.Errorf("transact with room: %v", err)
	}
	works(t, s, pool, "afterwards")
}

// PostgreSQL ends itself when it has no room for its log. With room again it goes on where it was.
func TestDiskThatFillsUnderLoadLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	server, d, pool := onSmallDisk(t)
	l := startLoad(t, open(t, pool, pgstore.Options{}), open(t, connect(t, server.URL("")), pgstore.Options{}))
	for range 2 {
		l.goesOn(t)
		failed := l.failed.Load()
		if err := d.Fill(64 << 10); err != nil {
			t.Fatal(err)
		}
		// So that the log needs room.
		_, _ = server.Exec(t.Context(), "SELECT pg_switch_wal()")
		patience.Eventually(t, "calls fail", func() bool { return l.failed.Load() > failed+100 })
		if err := d.Empty(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.goesOn(t)
	l.finish(t, pool)
}
