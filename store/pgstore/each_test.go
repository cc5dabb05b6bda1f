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

func TestEachTellsWhatMovesToASlotThatIsEmptiedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	early, moves := claimOf(newKey()), claimOf(newKey())
	early.Retention, moves.Retention = time.Minute, 12*time.Hour
	mustClaim(t, s, early)
	r := mustClaim(t, s, moves)
	told := 0
	err := s.Each(t.Context(), func(x store.Record) error {
		if x.Key != early.Key {
			told++
			return nil
		}
		// While the first slot is read, it is given the last end, as a sweep does, and the record moves there.
		execute(t, s.pool, "DELETE FROM records WHERE key = $1", x.Key[:])
		last := query[float64](t, s.pool, "SELECT extract(epoch FROM max(ends) - clock_timestamp())::float8 FROM slots WHERE slot > 0")
		execute(t, s.pool, `UPDATE slots SET ends = (SELECT max(ends) + interval '6 h' FROM slots WHERE slot > 0)
			WHERE slot = (SELECT slot FROM slots ORDER BY ends LIMIT 1)`)
		far := time.Duration(last)*time.Second + 3*time.Hour // between the last two ends, whatever the time of day
		if err := s.Complete(t.Context(), r.Key, r.Token, done, far); err != nil {
			t.Error(err)
		}
		if !query[bool](t, s.pool, "SELECT slot > 0 AND slot = (SELECT slot FROM slots WHERE slot > 0 ORDER BY ends DESC LIMIT 1) FROM records WHERE key = $1", r.Key[:]) {
			t.Error("the record is not in the slot that was emptied")
		}
		return nil
	})
	if err != nil || told != 1 {
		t.Errorf("a record that was there all the time was told %d times, error %v", told, err)
	}
}
