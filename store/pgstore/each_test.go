package pgstore

import (
	"errors"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

func TestEachTellsAllThatIsRememberedOnceAndHoldsNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Hour})
	s, err := Open(t.Context(), d.pool, Options{SweepEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	want := make(map[store.Key]store.State)
	bury := claimOf(newKey())
	bury.Fingerprint = store.Fingerprint{1}
	if _, err := s.Bury(t.Context(), bury); err != nil {
		t.Fatal(err)
	}
	want[bury.Key.Tombstone(bury.Fingerprint)] = store.Tombstone
	for i := range 2*page + 7 {
		c := claimOf(newKey())
		c.Retention = time.Duration(1+i%20) * time.Hour
		if i%3 == 0 {
			// The index does not tell these apart.
			copy(c.Key[:], "the same")
		}
		mustClaim(t, s, c)
		want[c.Key] = store.InProgress
	}
	over := claimOf(newKey())
	over.Lease, over.Retention = time.Millisecond, time.Millisecond
	mustClaim(t, s, over)
	time.Sleep(2 * time.Millisecond)

	told := make(map[store.Key]store.State)
	const open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND state LIKE 'idle in%'"
	err = s.Each(t.Context(), func(r store.Record) error {
		if _, again := told[r.Key]; again {
			t.Errorf("%v was told twice", r.Key)
		}
		told[r.Key] = r.State
		if len(told)%page == 1 && value[int](d, open) > 0 {
			t.Error("a transaction is open")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, state := range want {
		if told[key] != state {
			t.Errorf("%v is %v; Each told %v", key, state, told[key])
		}
	}
	if len(told) != len(want) {
		t.Errorf("Each told %d records; there are %d", len(told), len(want))
	}
	stop := errors.New("enough")
	if err := s.Each(t.Context(), func(store.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Each returned %v; want the function's error", err)
	}
}
